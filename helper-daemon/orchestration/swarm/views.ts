/** Swarms as callers see them. */
import path from 'node:path';
import type * as z from 'zod';
import type { ErrorBody } from '../../../protocol/errors.ts';
import { limits } from '../../../protocol/limits.ts';
import type {
  SwarmTaskState,
  swarmList,
  swarmResults,
  swarmStatus,
} from '../../../protocol/operations/swarm.ts';
import type { SwarmRecord, SwarmTaskRecord } from '../../store/orchestrationStore.ts';
import type { SwarmHost } from './host.ts';
import { swarmDirectory } from './live.ts';
import { readCapped } from './output.ts';

export type Status = z.output<typeof swarmStatus.output>;
export type Results = z.output<typeof swarmResults.output>;
export type Listed = z.output<typeof swarmList.output>[number];

/** Of all output in one reply, as JSON: as much as the output of one command may be. */
const replyBytes = limits.outputBytes.max - 2 * 1024 * 1024;

type ViewHost = Pick<SwarmHost, 'rows' | 'directory' | 'now'>;

function headOf(host: ViewHost, swarm: SwarmRecord): Omit<Listed, 'counts'> {
  return {
    swarm_id: swarm.id,
    state: swarm.state,
    golden_workspace: swarm.goldenName,
    snapshot_name: swarm.snapshotName,
    started_at: swarm.startedAt,
    ended_at: swarm.endedAt,
    elapsed_ms: elapsed(host, swarm.startedAt, swarm.endedAt),
  };
}

export function listView(host: ViewHost, swarm: SwarmRecord): Listed {
  return { ...headOf(host, swarm), counts: countStates(host.rows.tasks(swarm.id)) };
}

export function statusView(host: ViewHost, swarm: SwarmRecord): Status {
  const tasks = host.rows.tasks(swarm.id);
  return {
    ...headOf(host, swarm),
    counts: countStates(tasks),
    tasks: tasks.map((task) => ({
      ...taskHead(host, task),
      exit_code: task.exitCode,
      stdout_bytes: task.stdoutBytes,
      stderr_bytes: task.stderrBytes,
      error: task.error,
    })),
    output_dir: swarmDirectory(host, swarm.id),
  };
}

/** Output is cut so that the reply fits into a frame; the files hold all of it. */
export async function resultsView(host: ViewHost, swarm: SwarmRecord): Promise<Results> {
  const tasks = host.rows.tasks(swarm.id);
  const room = replyBytes / Math.max(1, tasks.length * 2);
  let cap = Math.min(limits.outputBytes.default, Math.floor(room));
  for (;;) {
    const view = await resultsWith(host, swarm, tasks, cap);
    // Control characters take six bytes each in JSON.
    if (cap < 1024 || Buffer.byteLength(JSON.stringify(view)) <= replyBytes) return view;
    cap = Math.floor(cap / 2);
  }
}

async function resultsWith(
  host: ViewHost,
  swarm: SwarmRecord,
  tasks: readonly SwarmTaskRecord[],
  cap: number,
): Promise<Results> {
  const succeeded = tasks.filter(({ state }) => state === 'done').length;
  const open = tasks.filter(({ endedAt }) => endedAt === null).length;
  const directory = swarmDirectory(host, swarm.id);
  const rows = await Promise.all(
    tasks.map(async (task) => {
      const of = (stream: string): Promise<string> =>
        readCapped(path.join(directory, task.slug, `${stream}.txt`), cap);
      const stderr = await of('stderr');
      return {
        ...taskHead(host, task),
        success: task.state === 'done',
        exit_code: task.exitCode ?? -1,
        timed_out: task.timedOut,
        stdout: await of('stdout'),
        stderr: task.error === null ? stderr : join(stderr, task.error),
        artifacts: [...task.artifacts],
      };
    }),
  );
  return {
    ...headOf(host, swarm),
    tasks: rows.sort((a, b) => (a.name < b.name ? -1 : 1)),
    summary: {
      total_tasks: tasks.length,
      succeeded,
      failed: tasks.length - succeeded - open,
      total_elapsed_ms: elapsed(host, swarm.startedAt, swarm.endedAt),
      workers_destroyed: tasks.filter(({ workerGone }) => workerGone).length,
      mcp_bridge: false,
    },
    ...(swarm.merge === null
      ? {}
      : { merge: JSON.parse(swarm.merge) as NonNullable<Results['merge']> }),
    error: swarm.problem === null ? null : errorView(JSON.parse(swarm.problem) as ErrorBody),
    output_dir: directory,
  };
}

function errorView({ code, message, next }: ErrorBody): NonNullable<Results['error']> {
  return { code, message, ...(next === undefined ? {} : { next }) };
}

function taskHead(
  host: ViewHost,
  task: SwarmTaskRecord,
): Pick<
  Status['tasks'][number],
  'name' | 'state' | 'workspace_id' | 'workspace_name' | 'elapsed_ms'
> {
  return {
    name: task.name,
    state: task.state,
    workspace_id: task.workspaceId,
    workspace_name: task.workspaceId === null ? null : task.workerName,
    elapsed_ms: task.startedAt === null ? 0 : elapsed(host, task.startedAt, task.endedAt),
  };
}

function countStates(tasks: readonly SwarmTaskRecord[]): Record<SwarmTaskState, number> {
  const counts = { queued: 0, forking: 0, running: 0, done: 0, failed: 0, cancelled: 0 };
  for (const { state } of tasks) counts[state] += 1;
  return counts;
}

/** One line for people who wait. */
export function progressLine(
  state: SwarmRecord['state'],
  tasks: readonly SwarmTaskRecord[],
): { readonly message: string; readonly fraction: number } {
  const { queued, forking, running, done, failed, cancelled } = countStates(tasks);
  const ended = done + failed + cancelled;
  const parts = [
    `${String(ended)} of ${String(tasks.length)} tasks ended`,
    ...(failed > 0 ? [`${String(failed)} failed`] : []),
    ...(running > 0 ? [`${String(running)} running`] : []),
    ...(forking > 0 ? [`${String(forking)} starting`] : []),
    ...(queued > 0 ? [`${String(queued)} waiting`] : []),
  ];
  const phase = state === 'merging' ? 'Merging' : state === 'cleaning' ? 'Clearing up' : undefined;
  return { message: phase ?? parts.join(', '), fraction: ended / Math.max(1, tasks.length) };
}

function elapsed({ now }: Pick<SwarmHost, 'now'>, from: string, to: string | null): number {
  return Math.max(0, (to === null ? now().getTime() : Date.parse(to)) - Date.parse(from));
}

function join(text: string, line: string): string {
  return text === '' || text.endsWith('\n') ? `${text}${line}` : `${text}\n${line}`;
}
