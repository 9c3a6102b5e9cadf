/** Changing what a machine may reach and who may reach it. */
import { CoppiceError } from '../../protocol/errors.ts';
import type { OutputOf, ParsedInputOf } from '../../protocol/operations.ts';
import { closedPolicy, type NetworkPolicy } from '../network/policy.ts';
import { refreshCard, viewPolicy } from './network.ts';
import { resolveWorkspace } from './resolve.ts';
import type { WorkspaceServices } from './services.ts';

type PolicyInput = Omit<ParsedInputOf<'network_policy'>, 'workspace_id'>;

const revisionKey = 'network.revision';
const lastRevision = 2 ** 31 - 1;

/** Call it in the transaction that stores it. */
export function nextRevision({ settings }: WorkspaceServices): number {
  const next = (Number(settings.get(revisionKey) ?? 0) % lastRevision) + 1;
  settings.set(revisionKey, String(next));
  return next;
}

/** @throws CoppiceError `not_found`, `prerequisite_missing` */
export async function changePolicy(
  services: WorkspaceServices,
  { workspace_id, ...input }: ParsedInputOf<'network_policy'>,
): Promise<OutputOf<'network_policy'>> {
  const { id } = resolveWorkspace(services.store, workspace_id);
  return await services.locks.run(id, async () => {
    const { network } = resolveWorkspace(services.store, id);
    const changed = await policyFrom(services, network, input);
    services.transaction(() => {
      services.store.update(id, {
        network: changed,
        ...(allowsAllOf(changed, network) ? {} : { networkRevision: nextRevision(services) }),
      });
    });
    await refreshCard(services, id);
    const view = viewPolicy(changed);
    services.publish({ type: 'network_changed', workspace_id: id, network_policy: view });
    return { workspace_id, network_policy: view };
  });
}

/**
 * A policy with what a caller said of it.
 * @throws CoppiceError `prerequisite_missing` when this host cannot let machines out
 */
export async function policyFrom(
  services: WorkspaceServices,
  before: NetworkPolicy = closedPolicy,
  input: PolicyInput = {},
): Promise<NetworkPolicy> {
  const policy: NetworkPolicy = {
    internet: internetFrom(before, input),
    allow: input.allow === undefined ? before.allow : [...new Set(input.allow)],
    allowInterVm: input.allow_inter_vm ?? before.allowInterVm,
    allowedPorts:
      input.allowed_ports === undefined ? before.allowedPorts : [...new Set(input.allowed_ports)],
    bandwidthMbit: input.bandwidth_mbit ?? before.bandwidthMbit,
    team: input.team === undefined ? before.team : input.team || null,
  };
  if (policy.internet !== 'off' && before.internet === 'off') await requireUplink(services);
  return policy;
}

const reach: readonly NetworkPolicy['internet'][] = ['off', 'list', 'full'];

/** Then no connection outwards has to end. Those between machines are judged packet by packet anyway. */
function allowsAllOf(after: NetworkPolicy, before: NetworkPolicy): boolean {
  return (
    reach.indexOf(after.internet) >= reach.indexOf(before.internet) &&
    before.allow.every((target) => after.allow.includes(target))
  );
}

function internetFrom(before: NetworkPolicy, input: PolicyInput): NetworkPolicy['internet'] {
  if (input.internet !== undefined) return input.internet;
  if (input.allow_internet === false) return 'off';
  if (input.allow_internet === true) {
    // Whoever names what is to be allowed does not mean everything.
    return (input.allow?.length ?? 0) > 0 ? 'list' : 'full';
  }
  const names = (input.allow?.length ?? 0) > 0;
  return names && before.internet === 'off' ? 'list' : before.internet;
}

async function requireUplink({ network }: WorkspaceServices): Promise<void> {
  const problem = await network.uplinkProblem();
  if (problem === undefined) return;
  throw new CoppiceError({
    code: 'prerequisite_missing',
    message: `Machines cannot reach the internet on this host: ${problem}`,
    next: 'Mend that, or leave the internet off.',
  });
}
