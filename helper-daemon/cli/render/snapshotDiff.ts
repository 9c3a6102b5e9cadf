/** `coppice snapshot diff`: a letter, the change in size and the path, as git status reads. */
import type { OutputOf } from '../../../protocol/operations.ts';
import type { PathChange } from '../../../protocol/operations/snapshotModel.ts';
import { printable } from '../text/printable.ts';
import type { Style } from '../text/style.ts';
import { count, formatBytes } from '../text/units.ts';
import type { RenderContext } from './renderContext.ts';

type Change = PathChange['change'];

const letters: Readonly<Record<Change, string>> = {
  added: 'A',
  modified: 'M',
  removed: 'D',
  type_changed: 'T',
  metadata: 'm',
};

const words: Readonly<Record<Change, string>> = {
  added: 'added',
  modified: 'modified',
  removed: 'removed',
  type_changed: 'of another type',
  metadata: 'with other metadata only',
};

function paintOf(change: Change, style: Style): (text: string) => string {
  switch (change) {
    case 'added':
      return style.good;
    case 'removed':
      return style.bad;
    case 'metadata':
      return style.dim;
    default:
      return style.warn;
  }
}

/** What the size of a directory is says nothing. */
function growth({ kind, size_before, size_after }: PathChange): number | null {
  if (kind === 'dir' || (size_before === null && size_after === null)) return null;
  return (size_after ?? 0) - (size_before ?? 0);
}

function signedBytes(bytes: number): string {
  if (bytes === 0) return '0 B';
  return `${bytes > 0 ? '+' : '-'}${formatBytes(Math.abs(bytes))}`;
}

export function renderDiff(diff: OutputOf<'snapshot_diff'>, { style }: RenderContext): string {
  const [from, to] = [stateName(diff.from), stateName(diff.to)];
  if (diff.changes.length === 0) return `There is no difference between ${from} and ${to}.`;
  const sizes = diff.changes.map((change) => {
    const bytes = growth(change);
    return bytes === null ? '' : signedBytes(bytes);
  });
  const width = Math.max(...sizes.map((size) => size.length));
  const lines = diff.changes.map((change, index) => {
    const paint = paintOf(change.change, style);
    const path = printable(change.path) + (change.kind === 'dir' ? '/' : '');
    const size = (sizes[index] ?? '').padStart(width);
    return `${paint(letters[change.change])}  ${style.dim(size)}  ${paint(path)}`;
  });
  lines.push('', totals(diff.changes, from, to));
  if (diff.truncated) {
    lines.push(style.warn('There are more changes: give a path, or raise --max-results.'));
  }
  return lines.join('\n');
}

function totals(changes: readonly PathChange[], from: string, to: string): string {
  const parts = (Object.keys(words) as Change[]).flatMap((kind) => {
    const amount = changes.filter(({ change }) => change === kind).length;
    return amount === 0 ? [] : [`${String(amount)} ${words[kind]}`];
  });
  const bytes = changes.reduce((sum, change) => sum + (growth(change) ?? 0), 0);
  return `${count(changes.length, 'change')} from ${from} to ${to}: ${parts.join(', ')}; ${signedBytes(bytes)}.`;
}

function stateName(name: string): string {
  return name === 'head' ? 'now' : printable(name);
}
