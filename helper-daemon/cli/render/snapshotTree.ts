/** `coppice snapshot list`: the tree with what one wants to know of each snapshot, a line each. */
import type { OutputOf } from '../../../protocol/operations.ts';
import type { SnapshotInfo } from '../../../protocol/operations/snapshotModel.ts';
import { printable } from '../text/printable.ts';
import { fitting, joinSegments, type Segment } from '../text/segments.ts';
import { displayWidth, type Style } from '../text/style.ts';
import { formatBytes, formatRoundAge } from '../text/units.ts';
import type { RenderContext } from './renderContext.ts';
import { treeRows, type TreeRow } from './snapshotForest.ts';

const gap = '  ';

export function renderTree(list: OutputOf<'snapshot_list'>, context: RenderContext): string {
  const { style, glyphs, width } = context;
  if (list.snapshots.length === 0) {
    return `${style.bold(list.name)} has no snapshots yet. ${style.dim(`coppice snapshot create ${list.name}`)} makes one.`;
  }
  const rows = treeRows(list, glyphs);
  const columns = columnsOf(rows, context);
  return rows
    .map((row) => joinSegments(segmentsOf(row, list, columns, context), width, glyphs.ellipsis))
    .join('\n');
}

interface Columns {
  readonly name: number;
  readonly age: number;
  readonly size: number;
}

/** On a terminal a long name may take half a line; where nobody looks nothing is cut. */
function columnsOf(rows: readonly TreeRow[], { now, width }: RenderContext): Columns {
  const most = width === undefined ? Infinity : Math.max(16, Math.floor(width / 2));
  let [name, age, size] = [0, 0, 0];
  for (const { rails, item } of rows) {
    if (item.kind !== 'snapshot') continue;
    const { snapshot } = item;
    name = Math.max(name, rails.length + 2 + snapshot.name.length);
    age = Math.max(age, formatRoundAge(snapshot.created_at, now).length);
    size = Math.max(size, formatBytes(snapshot.used_bytes).length);
  }
  return { name: Math.min(name, most), age, size };
}

function segmentsOf(
  { rails, item }: TreeRow,
  list: OutputOf<'snapshot_list'>,
  columns: Columns,
  context: RenderContext,
): readonly Segment[] {
  const { style, glyphs } = context;
  const lead: Segment = { text: rails, paint: style.dim };
  switch (item.kind) {
    case 'start':
      return [
        lead,
        { text: `${glyphs.start} `, paint: style.dim },
        { text: list.name, paint: style.bold },
        { text: originText(list), paint: style.dim },
      ];
    case 'fork':
      return [
        lead,
        { text: `${glyphs.fork} ` },
        { text: item.name },
        { text: ' (fork)', paint: style.dim },
      ];
    case 'head': {
      const changed = list.head_bytes === 0 ? 'nothing' : formatBytes(Math.max(0, list.head_bytes));
      return [
        lead,
        { text: `${glyphs.current} `, paint: style.good },
        { text: 'now', paint: style.bold },
        { text: `, ${changed} changed`, paint: style.dim },
      ];
    }
    case 'snapshot':
      return [lead, ...snapshotSegments(item.snapshot, rails.length, columns, context)];
  }
}

function originText({ forked_from: origin }: OutputOf<'snapshot_list'>): string {
  if (origin === null) return '';
  return `  fork of ${origin.source_workspace_name} at ${origin.snapshot_name}${origin.live ? ', with memory' : ''}`;
}

function snapshotSegments(
  snapshot: SnapshotInfo,
  indent: number,
  columns: Columns,
  { style, glyphs, now }: RenderContext,
): readonly Segment[] {
  const room = Math.max(1, columns.name - indent - 2);
  const name =
    snapshot.name.length <= room
      ? snapshot.name
      : fitting(snapshot.name, Math.max(0, room - glyphs.ellipsis.length)) + glyphs.ellipsis;
  const age = formatRoundAge(snapshot.created_at, now).padStart(columns.age);
  const size = formatBytes(snapshot.used_bytes).padStart(columns.size);
  const sign: Segment = snapshot.current
    ? { text: `${glyphs.current} `, paint: style.good }
    : { text: `${glyphs.node} `, paint: style.dim };
  return [
    sign,
    { text: name, paint: namePaint(snapshot, style) },
    { text: ' '.repeat(Math.max(0, room - displayWidth(name))) },
    { text: gap + age + gap + size, paint: style.dim },
    ...(snapshot.has_memory ? [{ text: `${gap}memory`, paint: style.accent }] : []),
    ...(snapshot.implicit ? [{ text: `${gap}implicit`, paint: style.dim }] : []),
    { text: descriptionText(snapshot), paint: style.dim },
  ];
}

function namePaint(snapshot: SnapshotInfo, style: Style): Style['dim'] {
  if (snapshot.implicit) return style.dim;
  return snapshot.current ? style.good : style.bold;
}

function descriptionText({ description }: SnapshotInfo): string {
  return description === '' ? '' : gap + printable(description);
}
