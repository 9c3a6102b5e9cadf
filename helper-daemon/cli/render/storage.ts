import type { OutputOf } from '../../../protocol/operations.ts';
import { printable, printableLines } from '../text/printable.ts';
import { renderPairs } from '../text/table.ts';
import { count, formatBytes } from '../text/units.ts';
import type { RenderContext } from './renderContext.ts';

const backends = {
  qcow2: 'qcow2 files',
  zfs: 'ZFS',
  reflink: 'files that share blocks (reflink)',
} as const;

export function renderStatus(status: OutputOf<'storage_status'>, { style }: RenderContext): string {
  const { heads, layers, memories, images } = status;
  return renderPairs(
    [
      ['Disks live in', backends[status.backend]],
      ['Location', printable(status.location)],
      ['Free', `${formatBytes(status.free_bytes)} of ${formatBytes(status.total_bytes)}`],
      ['Disks', `${formatBytes(heads.bytes)} in ${count(heads.count, 'disk')}`],
      ['Snapshots', `${formatBytes(layers.bytes)} in ${count(layers.count, 'layer')}`],
      ['Memory', `${formatBytes(memories.bytes)} in ${count(memories.count, 'file')}`],
      ['Images', `${formatBytes(images.bytes)} in ${count(images.count, 'image')}`],
      ['Deepest chain', count(status.deepest_chain, 'layer')],
      [
        'Reclaimable',
        status.reclaimable_bytes === 0
          ? 'nothing'
          : `${formatBytes(status.reclaimable_bytes)} ${style.dim('coppice storage gc')}`,
      ],
    ],
    style,
  );
}

export function renderGc(
  { removed, merged, freed_bytes }: OutputOf<'storage_gc'>,
  { style, input }: RenderContext,
): string {
  const dry = input['dry_run'] === true;
  if (removed.length === 0 && merged === 0) return 'There is nothing to free.';
  const lines = removed.map((one) => `${style.dim(dry ? 'would go:' : 'gone:')} ${printable(one)}`);
  if (merged > 0) lines.push(`${count(merged, 'layer')} ${dry ? 'would be ' : ''}folded together.`);
  lines.push(`${formatBytes(freed_bytes)} ${dry ? 'would be free' : 'freed'}.`);
  return lines.join('\n');
}

export function renderVerified(
  { ok, checked, problems }: OutputOf<'storage_verify'>,
  { style, input }: RenderContext,
): string {
  const lines = problems.flatMap(({ subject, problem, next }) => [
    `${style.bad(printable(subject))}: ${printableLines(problem)}`,
    ...(next === null ? [] : [`  ${style.accent('next:')} ${printableLines(next)}`]),
  ]);
  const what = [
    count(checked.workspaces, 'machine'),
    count(checked.snapshots, 'snapshot'),
    count(checked.layers, 'layer'),
    count(checked.memories, 'memory file'),
  ].join(', ');
  const depth = input['deep'] === true ? ', every byte read' : '';
  lines.push(
    ok
      ? style.good(`Everything is there and whole: ${what}${depth}.`)
      : style.bad(`${count(problems.length, 'problem')} in ${what}${depth}.`),
  );
  return lines.join('\n');
}

export function renderInit(
  { backend, location, steps }: OutputOf<'storage_init'>,
  { style }: RenderContext,
): string {
  return [
    ...steps.map((step) => `${style.good('-')} ${printable(step)}`),
    `New disks live in ${backends[backend]} at ${style.bold(printable(location))}.`,
  ].join('\n');
}
