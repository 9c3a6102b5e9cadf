/** Who a machine can reach, who can reach it, and what it tried. */
import * as z from 'zod';
import { limits } from '../limits.ts';
import { workspaceRef } from '../names.ts';
import { defineOperation } from '../operation.ts';
import {
  bandwidthMbit,
  listeningPort,
  networkPolicy,
  policyInput,
  port,
  portForward,
  teamName,
} from './networkModel.ts';

const onWorkspace = z.object({ workspace_id: workspaceRef });

export const networkPolicyOperation = defineOperation({
  name: 'network_policy',
  summary: 'Change what a machine may reach and who may reach it',
  description:
    'Takes effect at once, also on connections that are open; port forwards are not touched. Machines can always resolve and reach only what their policy names.',
  input: onWorkspace.extend({
    ...policyInput,
    allow_inter_vm: z
      .boolean()
      .optional()
      .describe('Reach, and be reached by, other machines that allow it too'),
    allowed_ports: z
      .array(port)
      .max(limits.networkTargets.max)
      .optional()
      .describe('TCP ports that every other machine may connect to. Replaces the list'),
    bandwidth_mbit: bandwidthMbit.optional().describe('Limit in each direction, Mbit/s; 0: none'),
    team: teamName.optional().describe('Team whose members reach each other; empty: none'),
  }),
  output: z.object({ workspace_id: z.string(), network_policy: networkPolicy }),
  risk: 'write',
  retry: 'safe',
  errors: ['not_found', 'prerequisite_missing'],
  cli: {
    command: 'network set',
    positionals: ['workspace_id'],
    flags: {
      bandwidth_mbit: '--bandwidth',
      allow_inter_vm: '--inter-vm',
      allowed_ports: '--open-port',
    },
    onOff: ['allow_inter_vm'],
    // --internet says it.
    hidden: ['allow_internet'],
  },
});

export const networkInfo = defineOperation({
  name: 'network_info',
  summary: 'Show address, policy, traffic and ports of a machine',
  input: onWorkspace,
  output: z.object({
    workspace_id: z.uuid(),
    name: z.string(),
    mode: z.enum(['bridge', 'user']).describe('A bridge on the host, or a network of its own'),
    address: z.string(),
    mac: z.string(),
    gateway: z.string().describe('Its router and its name server'),
    network_policy: networkPolicy,
    sent_bytes: z.number(),
    sent_packets: z.number(),
    received_bytes: z.number(),
    received_packets: z.number(),
    denied_packets: z.number(),
    port_forwards: z.array(portForward),
    listening: z.array(listeningPort).describe('TCP sockets that listen in it'),
  }),
  risk: 'read',
  retry: 'safe',
  errors: ['not_found'],
  cli: { command: 'network show', positionals: ['workspace_id'] },
});

export const networkLog = defineOperation({
  name: 'network_log',
  summary: 'Show what a machine tried to reach and was not allowed to',
  input: onWorkspace.extend({
    max_entries: z.int().min(1).max(limits.denials.max).optional(),
  }),
  output: z.array(
    z.object({
      last_at: z.iso.datetime({ offset: true }),
      kind: z
        .enum(['connection', 'name'])
        .describe('Packets that were dropped, or a name that was not resolved'),
      destination: z.string().describe('Address or name'),
      port: z.int().nullable(),
      protocol: z.string().describe('tcp, udp, icmp or a number; dns for names'),
      count: z.int().describe('Packets, or questions'),
      reason: z.string(),
    }),
  ),
  risk: 'read',
  retry: 'safe',
  errors: ['not_found'],
  cli: {
    command: 'network log',
    positionals: ['workspace_id'],
    flags: { max_entries: '-n, --max-entries' },
  },
});

export const portForwardAdd = defineOperation({
  name: 'port_forward_add',
  summary: 'Make a port of a machine reachable on this host',
  description:
    'Kept over stops, restores and restarts of the daemon. Reaches what listens in the machine on any address, also on its own loopback.',
  input: onWorkspace.extend({
    guest_port: port.describe('TCP port in the machine'),
    host_port: port
      .optional()
      .describe(
        'Port on this host; the same number where it is free and not privileged, else another',
      ),
    bind: z
      .ipv4()
      .optional()
      .describe('Host address to listen on; 127.0.0.1 when absent, 0.0.0.0: every one'),
  }),
  output: portForward.extend({ workspace_id: z.string() }),
  risk: 'write',
  retry: 'safe',
  errors: ['not_found', 'port_taken', 'invalid_input'],
  cli: {
    command: 'port add',
    positionals: ['workspace_id', 'guest_port'],
    flags: { host_port: '-p, --host-port' },
  },
});

export const portForwardRemove = defineOperation({
  name: 'port_forward_remove',
  summary: 'Take back a port forward',
  input: onWorkspace.extend({ guest_port: port.describe('TCP port in the machine') }),
  output: z.object({ workspace_id: z.string(), guest_port: port, removed: z.int() }),
  risk: 'write',
  retry: 'safe',
  errors: ['not_found'],
  cli: {
    command: 'port remove',
    aliases: ['port rm'],
    positionals: ['workspace_id', 'guest_port'],
  },
});

export const portForwardList = defineOperation({
  name: 'port_forward_list',
  summary: 'List port forwards, and the ports that machines listen on',
  input: z.object({ workspace_id: workspaceRef.optional() }),
  output: z.array(
    z.object({
      workspace_id: z.uuid(),
      name: z.string(),
      guest_port: port,
      forward: portForward.nullable().describe('null: it listens, and nothing leads there'),
      listening: listeningPort.nullable().describe('null: nothing listens there now'),
    }),
  ),
  risk: 'read',
  retry: 'safe',
  errors: ['not_found'],
  cli: { command: 'port list', aliases: ['port ls'], positionals: ['workspace_id'] },
});

export const tunnelOpen = defineOperation({
  name: 'tunnel_open',
  summary: 'Open one TCP connection that begins in a machine',
  description:
    'A started frame comes once it stands. Data frames flow both ways; an end frame closes one direction.',
  input: onWorkspace.extend({
    port,
    host: z
      .string()
      .min(1)
      .max(255)
      .optional()
      .describe('As seen from the machine; its own loopback when absent'),
  }),
  output: z.object({ ticket: z.string() }),
  risk: 'write',
  retry: 'safe',
  errors: ['not_found', 'wrong_state', 'guest_unreachable'],
  stream: 'tunnel',
});
