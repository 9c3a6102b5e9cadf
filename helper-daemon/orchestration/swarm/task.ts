/** One task of a swarm: a worker, its job, and what the job leaves. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { asCoppiceError } from '../../../protocol/errors.ts';
import type { SwarmTaskRecord } from '../../store/orchestrationStore.ts';
import type { JobEnd, StreamName } from '../guest.ts';
import { fetchArtifacts } from './artifacts.ts';
import { giveContexts } from './context.ts';
import type { SwarmHost } from './host.ts';
import { changeTask, taskDirectory, taskRow, type LiveSwarm } from './live.ts';
import { openOutput, type TaskOutput } from './output.ts';
import type { PlannedTask } from './plan.ts';

/** The machine ends what takes too long; one that does not is given up this much later. */
const graceMs = 60_000;
const attempts = 20;
const longestPauseMs = 5000;
const killMs = 5000;
/** The connection broke; the job may well go on. */
const passing: ReadonlySet<string> = new Set(['guest_unreachable', 'outcome_unknown']);

export const interrupted = 'Interrupted: the daemon ended before the task had begun.';

/** Forks a worker and runs the task in it; what goes wrong is written into its row. */
export async function runTask(host: SwarmHost, live: LiveSwarm, position: number): Promise<void> {
  await settling(host, live, position, async (planned, signal) => {
    const { record, secrets, plan } = live;
    changeTask(host, live, position, { state: 'forking', startedAt: host.now().toISOString() });
    const worker = await host.fork({
      sourceId: record.goldenId,
      snapshotId: record.snapshotId,
      name: taskRow(host, live, position).workerName,
      owner: record.owner,
      signal,
    });
    changeTask(host, live, position, { workspaceId: worker });
    const done = host.use(worker);
    try {
      if (plan.allowInternet !== null) await host.allowInternet(worker, plan.allowInternet);
      const known = await giveContexts(host.guest, worker, secrets.contexts, signal);
      const vars = { ...known, ...secrets.env };
      if (Object.keys(vars).length > 0) await host.guest.setEnv(worker, vars, signal);
      const job = {
        command: planned.command,
        workdir: planned.workdir ?? undefined,
        env: secrets.taskEnv[position] ?? {},
        timeoutSecs: plan.timeoutSecs,
        label: jobLabel(live, position),
      };
      const jobId = await host.guest.startJob(worker, job, signal);
      changeTask(host, live, position, { state: 'running', jobId });
      return await followTask(host, live, position, worker, jobId, signal);
    } finally {
      done();
    }
  });
}

/**
 * Goes on with a task that another daemon had begun.
 * @returns false when its worker was never made: it can be begun anew
 */
export async function resumeTask(
  host: SwarmHost,
  live: LiveSwarm,
  position: number,
): Promise<boolean> {
  const row = taskRow(host, live, position);
  const worker = row.workspaceId ?? workerNamed(host, live, row);
  if (worker === undefined) return false;
  changeTask(host, live, position, { workspaceId: worker });
  await settling(host, live, position, async (_planned, signal) => {
    const jobId = row.jobId ?? (await host.guest.findJob(worker, jobLabel(live, position), signal));
    if (jobId === undefined) return { error: interrupted };
    changeTask(host, live, position, { state: 'running', jobId });
    const done = host.use(worker);
    try {
      return await followTask(host, live, position, worker, jobId, signal);
    } finally {
      done();
    }
  });
  return true;
}

/** A worker that was made just before the end is known by its name alone. */
function workerNamed(
  host: Pick<SwarmHost, 'named'>,
  { record }: LiveSwarm,
  { workerName, startedAt }: SwarmTaskRecord,
): string | undefined {
  const found = host.named(workerName);
  const isOurs =
    found?.forkedFrom?.snapshot_id === record.snapshotId &&
    found.owner === record.owner &&
    startedAt !== null &&
    found.createdAt >= startedAt;
  return isOurs ? found.id : undefined;
}

type Ending = Partial<
  Pick<
    SwarmTaskRecord,
    'exitCode' | 'timedOut' | 'error' | 'artifacts' | 'stdoutBytes' | 'stderrBytes'
  >
>;

/** Whatever becomes of the work, the row says so in the end; unless the daemon ends first. */
async function settling(
  host: SwarmHost,
  live: LiveSwarm,
  position: number,
  work: (planned: PlannedTask, signal: AbortSignal) => Promise<Ending>,
): Promise<void> {
  const planned = live.plan.tasks[position];
  if (planned === undefined) throw new Error(`no task ${String(position)} is planned`);
  const cancelled = live.cancel.signal;
  let ending: Ending;
  try {
    cancelled.throwIfAborted();
    ending = await work(planned, AbortSignal.any([cancelled, live.stop]));
  } catch (error) {
    live.stop.throwIfAborted();
    ending = { error: cancelled.aborted ? 'Cancelled.' : asCoppiceError(error).message };
  }
  live.stop.throwIfAborted();
  const succeeded = ending.exitCode === 0 && ending.error === undefined;
  changeTask(host, live, position, {
    ...ending,
    state: cancelled.aborted && !succeeded ? 'cancelled' : succeeded ? 'done' : 'failed',
    endedAt: host.now().toISOString(),
  });
  const row = taskRow(host, live, position);
  await writeMeta(live, row, planned).catch((error: unknown) =>
    host.warn('meta.json of a task was not written', error),
  );
  if (live.plan.cleanup && (live.plan.merge === null || row.state !== 'done')) {
    await destroyWorker(host, live, row);
  } else if (cancelled.aborted && row.workspaceId !== null && row.jobId !== null) {
    // The machine stays, what ran in it does not.
    await host.guest
      .killJob(row.workspaceId, row.jobId, AbortSignal.timeout(killMs))
      .catch((error: unknown) => host.warn('a cancelled task was not killed', error));
  }
}

/** What cannot be destroyed now is tried again at the end of the swarm, and when the daemon starts. */
export async function destroyWorker(
  host: SwarmHost,
  live: LiveSwarm,
  row: SwarmTaskRecord,
): Promise<void> {
  const worker = row.workspaceId ?? workerNamed(host, live, row);
  if (worker === undefined || row.workerGone) return;
  try {
    await host.destroy(worker);
    changeTask(host, live, row.position, { workspaceId: worker, workerGone: true });
  } catch (error) {
    host.warn(`worker ${row.workerName} was not destroyed`, error);
  }
}

async function followTask(
  host: SwarmHost,
  live: LiveSwarm,
  position: number,
  worker: string,
  jobId: number,
  signal: AbortSignal,
): Promise<Ending> {
  const row = taskRow(host, live, position);
  const directory = taskDirectory(live, row);
  await mkdir(directory, { recursive: true });
  const files = {
    stdout: path.join(directory, 'stdout.txt'),
    stderr: path.join(directory, 'stderr.txt'),
  };
  const skews = { stdout: row.stdoutSkew, stderr: row.stderrSkew };
  const output = await openOutput(files, skews, (stream, skew) => {
    const change = stream === 'stdout' ? { stdoutSkew: skew } : { stderrSkew: skew };
    host.rows.updateTask(live.record.id, position, change);
  });
  try {
    const limitMs = live.plan.timeoutSecs * 1000 + graceMs;
    const patience = AbortSignal.any([signal, AbortSignal.timeout(limitMs)]);
    const end = await followJob(host, worker, jobId, output, patience).catch((error: unknown) => {
      signal.throwIfAborted();
      if (patience.aborted) return undefined;
      throw error;
    });
    if (end === undefined) {
      return {
        error: 'The machine did not end the task although its time was over.',
        timedOut: true,
      };
    }
    await addTails(host, worker, jobId, output, end, signal);
    const wanted = live.plan.tasks[position]?.artifacts ?? [];
    const artifacts = await fetchArtifacts(host.guest, worker, wanted, directory, signal);
    return {
      exitCode: end.exitCode,
      timedOut: end.timedOut,
      artifacts,
      stdoutBytes: end.stdoutBytes,
      stderrBytes: end.stderrBytes,
      ...complaintOf(end, live.plan.timeoutSecs),
    };
  } finally {
    await output.close();
  }
}

function complaintOf(end: JobEnd, timeoutSecs: number): { readonly error?: string } {
  if (end.timedOut) return { error: `Timed out after ${String(timeoutSecs)} s.` };
  if (end.signal !== null) return { error: `Ended by signal ${String(end.signal)}.` };
  return {};
}

/** Goes on after broken connections, from where it was. */
async function followJob(
  host: SwarmHost,
  worker: string,
  jobId: number,
  output: TaskOutput,
  signal: AbortSignal,
): Promise<JobEnd> {
  let failures = 0;
  for (;;) {
    const before = output.seen('stdout') + output.seen('stderr');
    try {
      return await host.guest.follow(worker, jobId, output, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!passing.has(asCoppiceError(error).code)) throw error;
      const moved = output.seen('stdout') + output.seen('stderr') > before;
      failures = moved ? 1 : failures + 1;
      if (failures > attempts) throw error;
    }
    await delay(Math.min(failures * 250, longestPauseMs), undefined, { signal });
  }
}

/** Files that are full end with the last of what was written. */
async function addTails(
  host: SwarmHost,
  worker: string,
  jobId: number,
  output: TaskOutput,
  end: JobEnd,
  signal: AbortSignal,
): Promise<void> {
  const totals = { stdout: end.stdoutBytes, stderr: end.stderrBytes };
  const streams: StreamName[] = ['stdout', 'stderr'];
  if (streams.every((stream) => totals[stream] <= output.seen(stream))) return;
  const last = await host.guest.lastOutput(worker, jobId, signal);
  for (const stream of streams) await output.finish(stream, totals[stream], last[stream]);
}

async function writeMeta(
  live: LiveSwarm,
  row: SwarmTaskRecord,
  planned: PlannedTask,
): Promise<void> {
  const directory = taskDirectory(live, row);
  await mkdir(directory, { recursive: true });
  const meta = {
    swarm_id: live.record.id,
    name: row.name,
    command: planned.command,
    workdir: planned.workdir,
    worker: row.workerName,
    workspace_id: row.workspaceId,
    state: row.state,
    exit_code: row.exitCode,
    timed_out: row.timedOut,
    error: row.error,
    started_at: row.startedAt,
    ended_at: row.endedAt,
    stdout_bytes: row.stdoutBytes,
    stderr_bytes: row.stderrBytes,
    artifacts: row.artifacts,
  };
  await writeFile(path.join(directory, 'meta.json'), `${JSON.stringify(meta, null, 2)}\n`);
}

function jobLabel({ record }: LiveSwarm, position: number): string {
  return `${record.id}/${String(position + 1)}`;
}
