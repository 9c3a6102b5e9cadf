import type { OutputOf } from '../../../protocol/operations.ts';
import type { SnapshotInfo } from '../../../protocol/operations/snapshotModel.ts';
import { printable, printableLines } from '../text/printable.ts';
import { renderPairs } from '../text/table.ts';
import { formatAge, formatBytes, formatDuration, formatTime } from '../text/units.ts';
import type { RenderContext } from './renderContext.ts';

function machineOf({ input }: RenderContext): string {
  return printable(String(input['workspace_id']));
}

const consistencies = {
  memory: 'with memory',
  filesystem: 'disk only',
  crash: 'disk only',
} as const;

export function renderCreated(
  snapshot: OutputOf<'snapshot_create'>,
  context: RenderContext,
): string {
  const { style } = context;
  const machine = machineOf(context);
  const stood =
    snapshot.pause_ms === 0
      ? ''
      : ` Its programs stood still for ${formatDuration(snapshot.pause_ms)}.`;
  const lines = [
    `Snapshot ${style.bold(snapshot.name)} of ${machine}: ${formatBytes(snapshot.used_bytes)}, ${consistencies[snapshot.consistency]}.${stood}`,
  ];
  if (snapshot.consistency === 'crash') {
    lines.push(style.warn('The machine did not answer: its files are as after a power cut.'));
  }
  lines.push(style.dim(`coppice snapshot restore ${machine} ${snapshot.name}`));
  return lines.join('\n');
}

export function renderInfo(snapshot: SnapshotInfo, { style, now, tree }: RenderContext): string {
  const parent = tree?.snapshots.find(({ snapshot_id }) => snapshot_id === snapshot.parent)?.name;
  return renderPairs(
    [
      ['Name', style.bold(snapshot.name)],
      ['Id', snapshot.snapshot_id],
      ['Description', printableLines(snapshot.description)],
      ['Position', snapshot.current ? style.good('the machine is here') : null],
      [
        'Created',
        `${formatTime(new Date(snapshot.created_at))} (${formatAge(snapshot.created_at, now)} ago)`,
      ],
      ['Memory', snapshot.has_memory ? 'kept: restores and forks continue its programs' : 'none'],
      ['Implicit', snapshot.implicit ? 'made by a fork; goes with the last that needs it' : null],
      ['Own size', formatBytes(snapshot.used_bytes)],
      ['With all below', formatBytes(snapshot.total_bytes)],
      ['Parent', parent ?? snapshot.parent ?? 'none'],
      ['Forks', snapshot.dependents.map(({ name }) => name).join(', ')],
    ],
    style,
  );
}

/** Says what was given up: nobody should find out later. */
export function renderRestored(
  restored: OutputOf<'snapshot_restore'>,
  { style, tree }: RenderContext,
): string {
  const how =
    restored.state === 'stopped'
      ? '; it is stopped'
      : restored.resumed
        ? ' (continues from memory)'
        : ' (booted from the disk)';
  const done = `Restored ${style.bold(restored.name)} to ${style.bold(restored.snapshot_name)}${how}.`;
  if (restored.saved_as !== null) {
    return `${done} The state before is snapshot ${style.bold(restored.saved_as)}.`;
  }
  const since = tree?.snapshots.find(({ current }) => current)?.name;
  return since === undefined
    ? `${done} What had no snapshot was given up; use --save-as to keep it.`
    : `${done} Changes since ${since} were given up; use --save-as to keep them.`;
}

export function renderDeleted(
  { name }: OutputOf<'snapshot_delete'>,
  context: RenderContext,
): string {
  return `Snapshot ${context.style.bold(name)} of ${machineOf(context)} is gone.`;
}

export function renderRenamed(snapshot: SnapshotInfo, context: RenderContext): string {
  const about = snapshot.description === '' ? '' : `: ${printable(snapshot.description)}`;
  return `Snapshot ${context.style.bold(snapshot.name)} of ${machineOf(context)}${about}.`.replace(
    /([.!?])\.$/,
    '$1',
  );
}
