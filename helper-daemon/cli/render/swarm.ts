import type { OutputOf } from '../../../protocol/operations.ts';
import type { SwarmState, SwarmTaskState } from '../../../protocol/operations/swarm.ts';
import { exitCodes } from '../exitCodes.ts';
import { printable, printableLines } from '../text/printable.ts';
import type { Style } from '../text/style.ts';
import { renderTable } from '../text/table.ts';
import { count, formatAge, formatBytes, formatDuration } from '../text/units.ts';
import type { RenderContext } from './renderContext.ts';

type Results = OutputOf<'swarm_results'>;

export function renderPrepared(
  prepared: OutputOf<'workspace_prepare'>,
  { style }: RenderContext,
): string {
  const { name, snapshot_name, reused_existing, has_memory, saved_as, previous_snapshot } =
    prepared;
  const how = has_memory ? 'forks of it continue its programs' : 'forks of it boot';
  return [
    `${style.bold(name)} ${reused_existing ? 'was prepared before' : 'is prepared'}: snapshot ${style.bold(snapshot_name)}, ${how}.`,
    ...(saved_as === null ? [] : [`What it held before is in snapshot ${saved_as}.`]),
    ...(previous_snapshot === null
      ? []
      : [`The golden snapshot before this one is now ${previous_snapshot}.`]),
    style.dim(`coppice fork ${name} --snapshot ${snapshot_name}`),
  ].join('\n');
}

export function renderSwarmStatus(
  swarm: OutputOf<'swarm_status'>,
  { style, width }: RenderContext,
): string {
  const table = renderTable(
    [
      { title: 'TASK' },
      { title: 'STATE' },
      { title: 'EXIT', align: 'right' },
      { title: 'TIME', align: 'right' },
      { title: 'WORKER' },
      { title: 'PROBLEM' },
    ],
    swarm.tasks.map((task) => [
      style.bold(printable(task.name)),
      taskState(task.state, style),
      task.exit_code === null ? '-' : String(task.exit_code),
      task.elapsed_ms === 0 ? '-' : formatDuration(task.elapsed_ms),
      task.workspace_name ?? '-',
      printable(task.error ?? ''),
    ]),
    style,
    width,
  );
  return [headLine(swarm, style), '', table].join('\n');
}

export function renderSwarmResults(swarm: Results, context: RenderContext): string {
  const { style } = context;
  const table = renderTable(
    [
      { title: 'TASK' },
      { title: 'STATE' },
      { title: 'EXIT', align: 'right' },
      { title: 'TIME', align: 'right' },
      { title: 'OUTPUT', align: 'right' },
      { title: 'LAST LINE' },
    ],
    swarm.tasks.map((task) => [
      style.bold(printable(task.name)),
      taskState(task.state, style),
      String(task.exit_code),
      formatDuration(task.elapsed_ms),
      formatBytes(Buffer.byteLength(task.stdout) + Buffer.byteLength(task.stderr)),
      printable(lastLine(task.success ? task.stdout : task.stderr || task.stdout)),
    ]),
    style,
    context.width,
  );
  return [headLine(swarm, style), '', table, '', ...afterwards(swarm, style)].join('\n');
}

function afterwards(swarm: Results, style: Style): string[] {
  const { merge, tasks, summary } = swarm;
  const files = tasks.flatMap(({ artifacts }) => artifacts);
  const fetched = files.filter(({ file }) => file !== null).length;
  const kept = tasks.filter(({ workspace_id }) => workspace_id !== null).length;
  return [
    ...(merge === undefined
      ? []
      : [
          merge.error === undefined
            ? `Merged into ${style.bold(merge.target_workspace)} (${merge.strategy}).`
            : `${style.bad('Not merged')} into ${merge.target_workspace}: ${printableLines(merge.error).trimEnd()}`,
          ...(merge.kept.length === 0
            ? []
            : [`Kept, for what they have committed: ${merge.kept.map(printable).join(', ')}.`]),
        ]),
    `${count(summary.succeeded, 'task')} succeeded, ${String(summary.failed)} failed, in ${formatDuration(summary.total_elapsed_ms)}; ${count(summary.workers_destroyed, 'worker')} of ${String(kept)} destroyed.`,
    ...(files.length === 0
      ? []
      : [`${String(fetched)} of ${count(files.length, 'artifact')} fetched.`]),
    style.dim(swarm.output_dir),
  ];
}

/** For stderr, and the exit code: which tasks did not succeed, and why. */
export function swarmOutcome(swarm: Results): {
  readonly exitCode: number;
  readonly complaint?: string;
} {
  if (swarm.error !== null) {
    return { exitCode: exitCodes.negative, complaint: swarm.error.message };
  }
  if (swarm.ended_at === null) return { exitCode: exitCodes.ok };
  const failed = swarm.tasks.filter(({ success }) => !success);
  if (failed.length === 0 && swarm.merge?.error === undefined) return { exitCode: exitCodes.ok };
  const lines = failed.map(
    ({ name, exit_code, stderr }) =>
      `${printable(name)} (exit ${String(exit_code)}): ${printable(lastLine(stderr))}`,
  );
  return {
    exitCode: failed.length === swarm.tasks.length ? exitCodes.negative : exitCodes.partial,
    ...(lines.length === 0 ? {} : { complaint: lines.join('\n') }),
  };
}

export function renderSwarmCancelled(
  { swarm_id, state }: OutputOf<'swarm_cancel'>,
  { style }: RenderContext,
): string {
  const over = state === 'done' || state === 'failed' || state === 'cancelled';
  return over
    ? `${style.bold(swarm_id)} has ended already (${state}).`
    : `${style.bold(swarm_id)} is being ended.\n${style.dim(`coppice swarm results ${swarm_id} --wait 60s`)}`;
}

export function renderSwarmList(
  swarms: OutputOf<'swarm_list'>,
  { style, now }: RenderContext,
): string {
  if (swarms.length === 0) {
    return `No swarms.\n${style.dim('coppice swarm run GOLDEN --task name=command')}`;
  }
  return renderTable(
    [
      { title: 'SWARM' },
      { title: 'STATE' },
      { title: 'DONE', align: 'right' },
      { title: 'FAILED', align: 'right' },
      { title: 'OPEN', align: 'right' },
      { title: 'AGE', align: 'right' },
      { title: 'OF' },
    ],
    swarms.map(({ swarm_id, state, counts, started_at, golden_workspace, snapshot_name }) => [
      style.bold(swarm_id),
      swarmState(state, style),
      String(counts.done),
      String(counts.failed + counts.cancelled),
      String(counts.queued + counts.forking + counts.running),
      formatAge(started_at, now),
      `${golden_workspace} at ${snapshot_name}`,
    ]),
    style,
  );
}

function headLine(
  swarm: Pick<Results, 'swarm_id' | 'state' | 'golden_workspace' | 'snapshot_name' | 'elapsed_ms'>,
  style: Style,
): string {
  const { swarm_id, state, golden_workspace, snapshot_name, elapsed_ms } = swarm;
  return `${style.bold(swarm_id)}  ${swarmState(state, style)}, ${formatDuration(elapsed_ms)}, copies of ${golden_workspace} at ${snapshot_name}`;
}

function swarmState(state: SwarmState, style: Style): string {
  if (state === 'done') return style.good(state);
  return state === 'failed' ? style.bad(state) : style.accent(state);
}

function taskState(state: SwarmTaskState, style: Style): string {
  if (state === 'done') return style.good(state);
  if (state === 'failed' || state === 'cancelled') return style.bad(state);
  return state === 'queued' ? style.dim(state) : style.accent(state);
}

function lastLine(text: string): string {
  return text.trimEnd().split('\n').at(-1) ?? '';
}
