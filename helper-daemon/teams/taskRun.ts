/** One task, from the queue to its result. */
import { setTimeout as delay } from 'node:timers/promises';
import { asCoppiceError } from '../../protocol/errors.ts';
import { teamLimits } from '../../protocol/operations/team.ts';
import type { TaskRecord, TaskResult } from '../store/teamMailStore.ts';
import { cutText, shorten } from './taskOutput.ts';
import type { JobEnd, JobHostState, TeamServices } from './teamServices.ts';

/** Whether a task that has not begun can begin now; otherwise it waits for its machine. */
export function canBegin(host: JobHostState): boolean {
  // One whose machine is gone ends at once.
  return host === 'ready' || host === 'suspended' || host === 'gone';
}

/** After these the machine can be asked again; any other answer is final. */
const passing: ReadonlySet<string> = new Set([
  'guest_unreachable',
  'outcome_unknown',
  'wrong_state',
  'busy',
  'timeout',
  'cancelled',
  'no_memory',
  // The host's own trouble: a full disk, say.
  'no_space',
  'internal',
]);
/** Of those, after these it has certainly not begun. */
const notSent: ReadonlySet<string> = new Set([
  'guest_unreachable',
  'wrong_state',
  'busy',
  'no_memory',
]);

/** Attempts after which the time between two no longer doubles. */
const mostFailures = 5;

type Result = Omit<TaskResult, 'taskId'>;

/**
 * Begins the task or goes on with it, and stores its result when it has ended.
 * @returns false when it was let go of: `signal` fired, or its machine does not run and it had not begun
 */
export async function runTask(
  services: TeamServices,
  task: TaskRecord,
  workspaceId: string | null,
  signal: AbortSignal,
): Promise<boolean> {
  const { jobs, mail, log } = services;
  const { id, assignment } = task;
  const label = `team-task-${String(id)}`;
  let { state, jobId } = task;
  let result: Result | undefined;
  let failures = 0;

  function note(next: 'queued' | 'starting' | 'running', job: number | null): void {
    state = next;
    jobId = job;
    // A loss of power ends the machine, too.
    services.lightly(() => mail.setTask(id, next, job));
  }

  /** @throws CoppiceError */
  async function advance(machine: string): Promise<Result> {
    if (jobId === null && state !== 'queued') {
      // Begun by a daemon or a request that did not live to see the answer; or the machine was restored, and gives
      // its jobs other numbers.
      const found = await jobs.find(machine, label, signal);
      if (found !== undefined) note('running', found);
      else if (state === 'running') return lost('Its machine was restored or restarted meanwhile.');
    }
    if (jobId === null) {
      note('starting', null);
      note('running', await jobs.start(machine, assignment, label, signal));
    }
    return resultOf(await jobs.wait(machine, jobId ?? 0, signal));
  }

  while (result === undefined) {
    const host = workspaceId === null ? 'gone' : jobs.state(workspaceId);
    if (workspaceId === null || host === 'gone') result = lost('Its machine is gone.');
    else if (state === 'queued' && !canBegin(host)) return false;
    else if (host === 'stopped') result = lost('Its machine was stopped before it had ended.');
    // What was suspended while it ran is not woken to be asked how far it is.
    else if (host === 'ready' || (host === 'suspended' && state === 'queued')) {
      try {
        result = await advance(workspaceId);
        failures = 0;
      } catch (error) {
        if (signal.aborted) return false;
        const { code, message } = asCoppiceError(error);
        if (code === 'not_found' && state === 'running') jobId = null;
        else if (!passing.has(code)) result = lost(message);
        else if (state === 'starting' && notSent.has(code)) note('queued', null);
        failures = Math.min(failures + 1, mostFailures);
        log.info({ task: id, code, message }, 'task: no answer from its machine');
      }
    }
    if (signal.aborted) return false;
    if (result === undefined) {
      const ms = services.retryMs * 2 ** failures;
      await delay(ms, undefined, { signal }).catch(() => undefined);
    }
  }
  const ended = { taskId: assignment.task_id, ...result };
  services.transaction(() => mail.endTask(id, ended));
  if (workspaceId !== null && jobId !== null) {
    // Nobody asks for it any more; a machine that is gone has forgotten it anyway.
    await jobs.remove(workspaceId, jobId).catch(() => undefined);
  }
  return true;
}

function resultOf(end: JobEnd): Result {
  return {
    exitCode: end.exitCode ?? -1,
    stdout: shorten(end.stdout, teamLimits.taskStdoutBytes),
    stderr: shorten(end.stderr, teamLimits.taskStderrBytes),
    elapsedSecs: Math.round(end.durationMs / 1000),
    timedOut: end.timedOut,
  };
}

function lost(why: string): Result {
  return {
    exitCode: -1,
    stdout: '',
    stderr: cutText(why, teamLimits.taskStderrBytes),
    elapsedSecs: 0,
    timedOut: false,
  };
}
