/** The course of a swarm: its tasks, the merge, the end of its workers. */
import { chown, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import pLimit from 'p-limit';
import { asCoppiceError } from '../../../protocol/errors.ts';
import type { SwarmState } from '../../../protocol/operations/swarm.ts';
import { makeDirectory } from '../../system/directory.ts';
import { callerOf } from '../../workspaces/callers.ts';
import type { SwarmHost } from './host.ts';
import { leftovers, type MergeOutcome } from './kept.ts';
import { changeTask, noSecrets, type LiveSwarm } from './live.ts';
import { destroyWorker, interrupted, resumeTask, runTask } from './task.ts';
import { resultsView } from './views.ts';

/** From whatever state the rows are in to the end. Throws when the daemon ends first. */
export async function driveSwarm(host: SwarmHost, live: LiveSwarm): Promise<void> {
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
  let outcome: MergeOutcome;
  try {
    if (sources.length === 0) {
      outcome = { ...view, error: 'No task succeeded: there is nothing to merge.', kept: [] };
    } else {
      const { reply, unmerged } = await host.merge({
        sources,
        target: targetId,
        strategy,
        path: repository,
        caller: callerOf(record.owner),
        signal: AbortSignal.any([live.cancel.signal, live.stop]),
        progress: () => undefined,
      });
      outcome = { ...view, detail: JSON.stringify(reply), kept: unmerged };
    }
  } catch (error) {
    live.stop.throwIfAborted();
    // Who cancels wants no worker any more; whose merge failed has their work nowhere else.
    const kept = live.cancel.signal.aborted ? [] : sources;
    outcome = { ...view, error: asCoppiceError(error).message, kept };
  }
  host.rows.update(id, { merge: JSON.stringify(outcome) });
}

async function cleanUp(host: SwarmHost, live: LiveSwarm): Promise<void> {
  if (!live.plan.cleanup) return;
  enter(host, live, 'cleaning');
  await Promise.all(leftovers(host, live.record.id).map((task) => destroyWorker(host, live, task)));
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
