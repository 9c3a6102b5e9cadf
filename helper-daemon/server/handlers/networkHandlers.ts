import { limits } from '../../../protocol/limits.ts';
import { viewPolicy } from '../../workspaces/network.ts';
import { changePolicy } from '../../workspaces/policies.ts';
import {
  addForward,
  listForwards,
  portForwards,
  removeForward,
} from '../../workspaces/portForwards.ts';
import { resolveWorkspace } from '../../workspaces/resolve.ts';
import type { WorkspaceServices } from '../../workspaces/services.ts';
import type { Handlers } from '../handlerTypes.ts';
import { serveTunnel } from '../streams/tunnelStream.ts';
import { guestStreams } from './guestCall.ts';

type NetworkHandlers = Pick<
  Handlers,
  | 'network_policy'
  | 'network_info'
  | 'network_log'
  | 'port_forward_add'
  | 'port_forward_remove'
  | 'port_forward_list'
  | 'tunnel_open'
>;

export function networkHandlers(services: WorkspaceServices): NetworkHandlers {
  return {
    network_policy: (input) => changePolicy(services, input),
    async network_info({ workspace_id }) {
      const record = resolveWorkspace(services.store, workspace_id);
      const traffic = await services.network.traffic(record.id);
      return {
        workspace_id: record.id,
        name: record.name,
        mode: services.network.mode,
        address: record.address,
        mac: record.mac,
        gateway: services.network.plan.gateway,
        network_policy: viewPolicy(record.network),
        sent_bytes: traffic.sentBytes,
        sent_packets: traffic.sentPackets,
        received_bytes: traffic.receivedBytes,
        received_packets: traffic.receivedPackets,
        denied_packets: traffic.deniedPackets,
        port_forwards: portForwards(services, record.id),
        listening: [...services.listening.of(record.id)],
      };
    },
    async network_log({ workspace_id, max_entries }) {
      const { id } = resolveWorkspace(services.store, workspace_id);
      const denials = await services.network.denials(id);
      return denials.slice(0, max_entries ?? limits.denials.max).map((denial) => ({
        last_at: new Date(denial.lastAt).toISOString(),
        kind: denial.kind,
        destination: denial.destination,
        port: denial.port ?? null,
        protocol: denial.protocol,
        count: denial.count,
        reason: denial.reason,
      }));
    },
    port_forward_add: (input) => addForward(services, input),
    port_forward_remove: (input) => removeForward(services, input),
    port_forward_list: (input) => Promise.resolve(listForwards(services, input)),
    async tunnel_open({ workspace_id, host, port }, { session }) {
      const streams = await guestStreams(services, workspace_id, session);
      return { ticket: streams.open(serveTunnel(streams.clients.network, { host, port })) };
    },
  };
}
