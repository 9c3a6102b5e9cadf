/** From a caller's wish to a swarm that is written down. */
import { CoppiceError } from '../../../protocol/errors.ts';
import type { SwarmRecord } from '../../store/orchestrationStore.ts';
import { callerKey, type Caller } from '../../workspaces/callers.ts';
import { readVault } from './context.ts';
import type { SwarmHost } from './host.ts';
import type { SwarmSecrets } from './live.ts';
import {
  mostWorkers,
  newSwarmId,
  planOf,
  queuedTasks,
  type SwarmInput,
  type SwarmPlan,
} from './plan.ts';

const defaultSnapshot = 'golden';

/** Everything that can be refused is refused here, before anything is made. */
export async function planSwarm(
  host: SwarmHost,
  input: SwarmInput,
  caller: Caller,
): Promise<{
  readonly record: SwarmRecord;
  readonly plan: SwarmPlan;
  readonly secrets: SwarmSecrets;
}> {
  if (input.mcp_bridge === true) {
    throw new CoppiceError({
      code: 'prerequisite_missing',
      message: 'Workers cannot call tools of this host: mcp_bridge is not available.',
      next: 'Leave mcp_bridge out.',
    });
  }
  const golden = host.resolve(input.golden_workspace);
  const target = input.merge_target === undefined ? golden : host.resolve(input.merge_target);
  const plan = planOf(input, target.id);
  if (plan.merge !== null) requireMergeable(host, target.name, target.state);
  const snapshot = await host.findSnapshot(golden, input.snapshot_name ?? defaultSnapshot);
  const owner = callerKey(caller);
  host.requireQuota(golden, owner, mostWorkers(plan));
  await host.requireDisk();
  const vault = await readVault(host.vault?.(owner), input.vault_context ?? []);
  const now = host.now();
  const id = newSwarmId(now, (taken) => host.rows.byId(taken) !== undefined);
  const record: SwarmRecord = {
    id,
    owner,
    state: 'running',
    goldenId: golden.id,
    goldenName: golden.name,
    snapshotId: snapshot.id,
    snapshotName: snapshot.name,
    plan: JSON.stringify(plan),
    cancelled: false,
    merge: null,
    problem: null,
    startedAt: now.toISOString(),
    endedAt: null,
  };
  host.transaction(() => host.rows.insert(record, queuedTasks(id, plan)));
  return {
    record,
    plan,
    secrets: {
      env: input.env_vars ?? {},
      taskEnv: input.tasks.map(({ env }) => env ?? {}),
      contexts: { shared: input.shared_context, vault },
    },
  };
}

function requireMergeable(host: SwarmHost, name: string, state: string): void {
  if (host.merge === undefined) {
    throw new CoppiceError({
      code: 'prerequisite_missing',
      message: 'This daemon cannot merge.',
      next: 'Leave merge_strategy out.',
    });
  }
  if (state === 'running' || state === 'suspended') return;
  throw new CoppiceError({
    code: 'wrong_state',
    message: `The merge target ${name} is not running (state: ${state}).`,
    next: `Start it first: coppice start ${name} (workspace_start).`,
    details: { state },
  });
}
