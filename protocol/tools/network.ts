/** Tools for what a workspace may reach, and who may reach it. */
import * as z from 'zod';
import { networkPolicyOperation, portForwardAdd } from '../operations/network.ts';
import { limits } from '../limits.ts';
import { defineTool, ToolError } from '../tool.ts';

const { workspace_id, guest_port, host_port } = portForwardAdd.input.shape;

export const portForwardTool = defineTool({
  name: 'port_forward',
  title: 'Forward a port',
  description:
    'Make a TCP port of a workspace reachable at localhost:<host_port> of this host, or take that back. Without host_port a free one is chosen. Needs no internet access.',
  input: z.object({
    action: z.enum(['add', 'remove']),
    workspace_id,
    guest_port,
    host_port,
  }),
  output: z.object({
    workspace_id: z.string().describe('As given'),
    guest_port,
    host_port: host_port.describe('Port on this host'),
  }),
  text: (output, input) =>
    input.action === 'remove'
      ? `Port forward for guest port ${String(input.guest_port)} removed from workspace ${input.workspace_id}.`
      : JSON.stringify(output),
  toolset: 'full',
  risk: 'write',
  retry: 'safe',
  failure: 'internal_error',
  failureOf: ({ action }) => (action === 'add' ? 'internal_error' : 'invalid_request'),
  async run({ action, ...input }, { call }) {
    if (action === 'remove') return await call('port_forward_remove', input);
    if (input.host_port !== undefined && input.host_port < limits.hostPort.min) {
      throw new ToolError('invalid_params', {
        code: 'invalid_input',
        message: `host_port: must be ${String(limits.hostPort.min)} or more.`,
        next: 'Leave host_port out to get a free one.',
      });
    }
    return await call('port_forward_add', input);
  },
});

const { allow_internet, allow, allow_inter_vm, allowed_ports } = networkPolicyOperation.input.shape;
const policy = networkPolicyOperation.output.shape.network_policy.shape;

export const networkPolicyTool = defineTool({
  name: 'network_policy',
  title: 'Change the network policy',
  description:
    'Change what a workspace may reach and who may reach it; what is left out stays as it is. Takes effect at once, also on open connections; port forwards are not touched.',
  input: z.object({ workspace_id, allow_internet, allow, allow_inter_vm, allowed_ports }),
  output: z.object({
    workspace_id: networkPolicyOperation.output.shape.workspace_id,
    network_policy: z.object({
      allow_internet: policy.allow_internet,
      internet: policy.internet,
      allow: policy.allow,
      allow_inter_vm: policy.allow_inter_vm,
      allowed_ports: policy.allowed_ports,
    }),
  }),
  toolset: 'full',
  risk: 'write',
  retry: 'safe',
  failure: 'invalid_request',
  run: (input, { call }) => call('network_policy', input),
});
