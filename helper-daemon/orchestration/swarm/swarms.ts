/**
 * Swarms: runs of the daemon's own. A caller starts one and waits for it as often as it likes; rows say how far it
 * is, before anything is made, so that a daemon that starts goes on with those of the one before.
 */
import { chown, mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import pLimit from 'p-limit';
import { asCoppiceError, CoppiceError } from '../../../protocol/errors.ts';
import type { SwarmState } from '../../../protocol/operations/swarm.ts';
import type { SwarmRecord } from '../../store/orchestrationStore.ts';
import { makeDirectory } from '../../system/directory.ts';
import { callerKey, callerOf, mayUse, type Caller } from '../../workspaces/callers.ts';
import { readVault } from './context.ts';
import type { SwarmHost } from './host.ts';
import {
  changeTask,
  noSecrets,
  swarmDirectory,
  type LiveSwarm,
  type SwarmSecrets,
} from './live.ts';
import {
  mostWorkers,
  newSwarmId,
  planOf,
  queuedTasks,
  type SwarmInput,
  type SwarmPlan,
} from './plan.ts';
import { destroyWorker, interrupted, resumeTask, runTask } from './task.ts';
import {
  listView,
  progressLine,
  resultsView,
  statusView,
  type Listed,
  type Results,
  type Status,
} from './views.ts';

/** Ended ones whose rows and files are kept. */
const keptSwarms = 50;
const defaultSnapshot = 'golden';

export interface Swarms {
  /** @throws CoppiceError see swarm_start in protocol/ */
  start(
    input: SwarmInput,
    caller: Caller,
  ): Promise<{ swarm_id: string; tasks: number; output_dir: string }>;
  status(id: string | undefined, caller: Caller): Status;
  results(
    id: string | undefined,
    caller: Caller,
    wait: {
      readonly seconds: number;
      readonly signal: AbortSignal;
      readonly progress: (message: string, fraction?: number) => void;
    },
  ): Promise<Results>;
  cancel(id: string, caller: Caller): { swarm_id: string; state: SwarmState };
  list(caller: Caller): Listed[];
  /** Goes on with, or ends, what another daemon had begun. Call it once, when workspaces have been recovered. */
  recover(): void;
  /** Whether a swarm still forks from this snapshot. */
  isInUse(snapshotId: string): boolean;
  underWay(): number;
  /** Lets go of everything; the next daemon goes on. */
  close(): Promise<void>;
}

export function swarms(host: SwarmHost): Swarms {
  const under = new Map<string, { readonly live: LiveSwarm; readonly done: Promise<void> }>();
  const closing = new AbortController();

  function launch(record: SwarmRecord, plan: SwarmPlan, secrets: SwarmSecrets): void {
    const live: LiveSwarm = {
      record,
      plan,
      secrets,
      directory: swarmDirectory(host, record.id),
      cancel: new AbortController(),
      stop: closing.signal,
      listeners: new Set(),
    };
    if (record.cancelled) live.cancel.abort();
    const done = drive(host, live)
      .catch((error: unknown) => {
        // Its rows stay as they are: the next daemon tries again.
        if (!closing.signal.aborted) host.warn(`${record.id} was not brought to its end`, error);
      })
      .finally(() => {
        under.delete(record.id);
        for (const listener of live.listeners) listener();
      });
    under.set(record.id, { live, done });
    void done.then(() => (closing.signal.aborted ? undefined : forgetOld(host)));
  }

  function find(id: string | undefined, caller: Caller): SwarmRecord {
    const found =
      id === undefined
        ? host.rows.all().find(({ owner }) => mayUse(caller, owner))
        : host.rows.byId(id);
    if (found === undefined) {
      throw new CoppiceError({
        code: 'not_found',
        message: id === undefined ? 'You have no swarm.' : `There is no swarm ${id}.`,
        next: 'List yours with coppice swarm list (swarm_list).',
      });
    }
    if (mayUse(caller, found.owner)) return found;
    throw new CoppiceError({
      code: 'not_owned',
      message: `${found.id} was started by somebody else.`,
      next: 'List yours with coppice swarm list (swarm_list).',
    });
  }

  return {
    async start(input, caller) {
      if (closing.signal.aborted) throw ending();
      const { record, plan, secrets } = await planSwarm(host, input, caller);
      launch(record, plan, secrets);
      return {
        swarm_id: record.id,
        tasks: plan.tasks.length,
        output_dir: swarmDirectory(host, record.id),
      };
    },
    status: (id, caller) => statusView(host, find(id, caller)),
    async results(id, caller, { seconds, signal, progress }) {
      const swarm = find(id, caller);
      const current = under.get(swarm.id);
      if (current !== undefined && seconds > 0) {
        const tell = (): void => {
          const { state } = host.rows.byId(swarm.id) ?? swarm;
          const { message, fraction } = progressLine(state, host.rows.tasks(swarm.id));
          progress(message, fraction);
        };
        current.live.listeners.add(tell);
        tell();
        try {
          await waitFor(current.done, seconds * 1000, signal);
        } finally {
          current.live.listeners.delete(tell);
        }
      }
      return await resultsView(host, host.rows.byId(swarm.id) ?? swarm);
    },
    cancel(id, caller) {
      const { id: swarm_id, endedAt } = find(id, caller);
      if (endedAt === null) {
        host.rows.update(swarm_id, { cancelled: true });
        under.get(swarm_id)?.live.cancel.abort();
      }
      return { swarm_id, state: find(id, caller).state };
    },
    list: (caller) =>
      host.rows
        .all()
        .filter(({ owner }) => mayUse(caller, owner))
        .map((swarm) => listView(host, swarm)),
    recover() {
      for (const record of host.rows.all()) {
        const plan = JSON.parse(record.plan) as SwarmPlan;
        if (record.endedAt === null || hasLeftovers(host, record, plan)) {
          launch(record, plan, noSecrets);
        }
      }
    },
    isInUse: (snapshotId) =>
      [...under.values()].some(({ live }) => live.record.snapshotId === snapshotId),
    underWay: () => under.size,
    async close() {
      closing.abort();
      await Promise.allSettled([...under.values()].map(({ done }) => done));
    },
  };
}

/** Everything that can be refused is refused here, before anything is made. */
async function planSwarm(
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
  const vault = await readVault(host.vault, input.vault_context ?? []);
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

/** From whatever state the rows are in to the end. Throws when the daemon ends first. */
async function drive(host: SwarmHost, live: LiveSwarm): Promise<void> {
  const { id } = live.record;
  await makeDirectories(host, live);
  const limit = pLimit(live.plan.maxParallel);
  const tasks = host.rows.tasks(id);
  await Promise.all(
    tasks.map(({ position, state }) =>
      limit(async () => {
        live.stop.throwIfAborted();
        if (state === 'queued') await begin(host, live, position, false);
        else if (state === 'forking' || state === 'running') {
          if (!(await resumeTask(host, live, position))) await begin(host, live, position, true);
        }
      }),
    ),
  );
  await mergeResults(host, live);
  live.stop.throwIfAborted();
  await cleanUp(host, live);
  live.stop.throwIfAborted();
  await conclude(host, live);
}

/** @param again another daemon had begun it */
async function begin(
  host: SwarmHost,
  live: LiveSwarm,
  position: number,
  again: boolean,
): Promise<void> {
  const lost = live.plan.hasSecrets && live.secrets === noSecrets;
  if (!lost || live.cancel.signal.aborted) {
    await runTask(host, live, position);
    return;
  }
  changeTask(host, live, position, {
    state: 'failed',
    error: again
      ? interrupted
      : `${interrupted} Its variables and contexts were kept in memory only.`,
    endedAt: host.now().toISOString(),
  });
}

async function mergeResults(host: SwarmHost, live: LiveSwarm): Promise<void> {
  const { plan, record } = live;
  const { id } = record;
  if (plan.merge === null || host.merge === undefined || live.cancel.signal.aborted) return;
  if (host.rows.byId(id)?.merge !== null) return;
  enter(host, live, 'merging');
  const { strategy, target, targetId, path: repository } = plan.merge;
  const sources = host.rows
    .tasks(id)
    // Names say more than ids in the reply, and in the names of branches.
    .flatMap(({ state, workerName }) => (state === 'done' ? [workerName] : []));
  const view = { strategy, target_workspace: target };
  let outcome: Record<string, unknown>;
  try {
    outcome =
      sources.length === 0
        ? { ...view, error: 'No task succeeded: there is nothing to merge.' }
        : {
            ...view,
            detail: JSON.stringify(
              await host.merge({
                sources,
                target: targetId,
                strategy,
                path: repository,
                caller: callerOf(record.owner),
                signal: AbortSignal.any([live.cancel.signal, live.stop]),
                progress: () => undefined,
              }),
            ),
          };
  } catch (error) {
    live.stop.throwIfAborted();
    outcome = { ...view, error: asCoppiceError(error).message };
  }
  host.rows.update(id, { merge: JSON.stringify(outcome) });
}

async function cleanUp(host: SwarmHost, live: LiveSwarm): Promise<void> {
  if (!live.plan.cleanup) return;
  enter(host, live, 'cleaning');
  await Promise.all(host.rows.tasks(live.record.id).map((task) => destroyWorker(host, live, task)));
}

/** The rows are final before the summary is written: a summary can be made again, a run cannot. */
async function conclude(host: SwarmHost, live: LiveSwarm): Promise<void> {
  const { id } = live.record;
  const tasks = host.rows.tasks(id);
  const problem = tasks.every(
    ({ state, workspaceId }) => state === 'failed' && workspaceId === null,
  )
    ? {
        code: 'internal' as const,
        message: `No worker could be made. ${tasks[0]?.error ?? ''}`.trimEnd(),
      }
    : null;
  const before = host.rows.byId(id);
  host.rows.update(id, {
    state: before?.cancelled === true ? 'cancelled' : problem === null ? 'done' : 'failed',
    problem: problem === null ? null : JSON.stringify(problem),
    endedAt: before?.endedAt ?? host.now().toISOString(),
  });
  const ended = host.rows.byId(id);
  if (ended === undefined) return;
  const summary = JSON.stringify(await resultsView(host, ended), null, 2);
  await writeFile(path.join(live.directory, 'summary.json'), `${summary}\n`).catch(
    (error: unknown) => host.warn(`summary.json of ${id} was not written`, error),
  );
}

function enter(host: SwarmHost, live: LiveSwarm, state: SwarmState): void {
  host.rows.update(live.record.id, { state });
  for (const listener of live.listeners) listener();
}

/** What a swarm leaves is for its caller's account alone. */
async function makeDirectories(host: SwarmHost, { directory, record }: LiveSwarm): Promise<void> {
  await makeDirectory(host.directory, host.sharedWithUser ? 0o711 : 0o700);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  if (host.sharedWithUser) await chown(directory, callerOf(record.owner).uid, -1);
}

function hasLeftovers(host: SwarmHost, { id }: SwarmRecord, { cleanup }: SwarmPlan): boolean {
  if (!cleanup) return false;
  return host.rows
    .tasks(id)
    .some(({ workspaceId, workerGone }) => workspaceId !== null && !workerGone);
}

/** Files first: a swarm without a row would keep them for ever. */
async function forgetOld(host: SwarmHost): Promise<void> {
  const ended = host.rows.all().filter(({ endedAt }) => endedAt !== null);
  for (const { id } of ended.slice(keptSwarms)) {
    try {
      await rm(swarmDirectory(host, id), { recursive: true, force: true });
      host.rows.remove(id);
    } catch (error) {
      host.warn(`${id} was not forgotten`, error);
    }
  }
}

async function waitFor(done: Promise<void>, ms: number, signal: AbortSignal): Promise<void> {
  const over = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => over.resolve(undefined), ms);
  const aborted = (): void =>
    over.reject(
      new CoppiceError({
        code: 'cancelled',
        message: 'The call was given up; the swarm goes on.',
        next: 'Wait for it again with its swarm_id, or end it with swarm_cancel.',
      }),
    );
  signal.addEventListener('abort', aborted, { once: true });
  if (signal.aborted) aborted();
  try {
    await Promise.race([done, over.promise]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', aborted);
  }
}

function ending(): CoppiceError {
  return new CoppiceError({
    code: 'daemon_unavailable',
    message: 'The daemon is about to end.',
    next: 'Try again in a moment.',
  });
}
