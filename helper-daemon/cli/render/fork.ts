import type { OutputOf } from '../../../protocol/operations.ts';
import { printable, printableLines } from '../text/printable.ts';
import { renderTable } from '../text/table.ts';
import { count, formatDuration } from '../text/units.ts';
import type { RenderContext } from './renderContext.ts';
import { stateText } from './workspace.ts';

export function renderForked(fork: OutputOf<'workspace_fork'>, context: RenderContext): string {
  const { style } = context;
  if (fork.workers.length === 0) return '';
  const withIp = fork.workers.some(({ ip }) => ip !== null);
  const table = renderTable(
    [
      { title: 'NAME' },
      { title: 'STATE' },
      ...(withIp ? [{ title: 'IP' }] : []),
      { title: 'READY AFTER', align: 'right' as const },
      { title: 'ID' },
    ],
    fork.workers.map((child) => [
      style.bold(child.name),
      stateText(child.state, style),
      ...(withIp ? [child.ip ?? '-'] : []),
      formatDuration(child.ready_ms),
      style.dim(child.workspace_id.slice(0, 8)),
    ]),
    style,
  );
  return [table, '', ...summaryOf(fork, context)].join('\n');
}

function summaryOf(
  fork: OutputOf<'workspace_fork'>,
  { style, input }: RenderContext,
): readonly string[] {
  const source = fork.source_workspace_name;
  const of = input['snapshot_name'] === undefined ? source : `${source} at ${fork.snapshot_name}`;
  const how = fork.live ? 'its programs go on in each' : 'booted from its disk';
  const stood =
    fork.pause_ms === null ? '' : ` ${source} stood still for ${formatDuration(fork.pause_ms)}.`;
  const [first] = fork.workers;
  const amount = count(fork.success_count, 'copy', 'copies');
  return [
    `${amount} of ${style.bold(of)}; ${how}.${stood}`,
    style.dim(`coppice shell ${first?.name ?? ''}`),
  ];
}

/** For stderr: which copies there are not, why, and how to get them; undefined when all are there. */
export function forkComplaint(fork: OutputOf<'workspace_fork'>): string | undefined {
  const [first] = fork.failures;
  if (first === undefined) return undefined;
  const lines = fork.failures.map(
    ({ name, code, error }) => `${name}: ${printableLines(error).trimEnd()} (${printable(code)})`,
  );
  const source = fork.source_workspace_name;
  // Without a copy that needs it, the snapshot a fork made is not kept.
  const again =
    fork.success_count === 0
      ? `when that is solved, fork ${source} again.`
      : `for those that are missing: coppice fork ${source} ${first.name} --snapshot ${fork.snapshot_name}`;
  lines.push(
    `${String(fork.failure_count)} of ${count(fork.requested_count, 'copy', 'copies')} could not be made; ${again}`,
  );
  return lines.join('\n');
}
