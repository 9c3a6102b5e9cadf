/** What the network is told of a workspace, and what callers are told of its network. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { NetworkPolicyView } from '../../protocol/operations/networkModel.ts';
import type { CardBackend, Machine } from '../engine/machine.ts';
import type { NetworkIdentitySchema } from '../guest/gen/coppice/guest/v1/guest_pb.js';
import type { Card, RunKey } from '../network/network.ts';
import type { NetworkPolicy } from '../network/policy.ts';
import type { WorkspaceRecord } from '../store/workspaceStore.ts';
import { listensOutside } from './listening.ts';
import type { WorkspaceServices } from './services.ts';

/** Machines that are nobody, or only look at files, have no card that leads anywhere. */
export function cardFor(services: WorkspaceServices, id: string): Card | undefined {
  const record = services.store.byId(id);
  if (record === undefined || (record.role !== 'user' && record.role !== 'pool')) return undefined;
  const listening = services.listening.of(id);
  return {
    workspaceId: id,
    name: record.name,
    address: record.address,
    mac: record.mac,
    policy: record.network,
    revision: record.networkRevision,
    forwards: services.forwards
      .of(id)
      // A port that somebody else has is theirs.
      .filter((forward) => services.forwardListeners.isOpen(forward))
      .map(({ bind, hostPort, guestPort }) => ({
        bind,
        hostPort,
        guestPort,
        // What listens on the machine's own loopback, or has not been told yet, the daemon's listener reaches. It
        // also knows when a machine is in use, which must not be suspended then.
        direct: record.idleSuspendSecs === 0 && listensOutside(listening, guestPort),
      })),
  };
}

/** Joins a machine that runs to the network, and parts them when it ends. */
export async function connectCard(
  services: WorkspaceServices,
  key: RunKey,
  machine: Machine,
): Promise<void> {
  void machine.ended
    .then(() => services.network.detach(key))
    .catch((error: unknown) => {
      services.log.warn({ workspace: key.workspaceId, err: error }, 'network not released');
    });
  await services.network.connect(key, cardFor(services, key.workspaceId));
}

/** The card of the workspace has changed; nothing where no machine runs. */
export async function refreshCard(services: WorkspaceServices, id: string): Promise<void> {
  const card = cardFor(services, id);
  if (card !== undefined) await services.network.apply(card);
}

/**
 * What the guest is told. It has a network of its own alone: whatever it sends, to others beside it too, goes
 * through the gateway.
 */
export function guestNetwork(
  { network: { plan } }: WorkspaceServices,
  { mac, address }: Pick<WorkspaceRecord, 'mac' | 'address'>,
): MessageInitShape<typeof NetworkIdentitySchema> {
  return { mac, address, prefixLength: 32, gateway: plan.gateway, dns: [plan.gateway] };
}

/** The card that machines have on this host, for comparing what memory images are bound to. */
export function cardOfThisHost(services: WorkspaceServices): { mac: string; backend: CardBackend } {
  const backend: CardBackend =
    services.network.mode === 'bridge' ? { kind: 'tap', fd: 0 } : { kind: 'socket' };
  return { mac: '', backend };
}

/** The address others reach it at; null in user mode, where there is none. */
export function reachableAddress(
  { network }: WorkspaceServices,
  record: WorkspaceRecord,
): string | null {
  return network.mode === 'bridge' ? record.address : null;
}

export function viewPolicy(policy: NetworkPolicy): NetworkPolicyView {
  return {
    allow_internet: policy.internet !== 'off',
    internet: policy.internet,
    allow: [...policy.allow],
    allow_inter_vm: policy.allowInterVm,
    allowed_ports: [...policy.allowedPorts],
    bandwidth_mbit: policy.bandwidthMbit,
    team: policy.team,
  };
}
