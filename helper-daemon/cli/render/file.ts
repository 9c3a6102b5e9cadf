import type { OutputOf } from '../../../protocol/operations.ts';
import type { FileEntry } from '../../../protocol/operations/file.ts';
import { printable } from '../text/printable.ts';
import type { Style } from '../text/style.ts';
import { renderPairs } from '../text/table.ts';
import { count, formatBytes, formatTime } from '../text/units.ts';
import type { RenderContext } from './renderContext.ts';

const kindLetters = { file: '-', dir: 'd', symlink: 'l', other: '?' } as const;

function nameText(entry: FileEntry, style: Style): string {
  const name = printable(entry.name);
  switch (entry.kind) {
    case 'dir':
      return style.accent(`${name}/`);
    case 'symlink': {
      const target = printable(entry.link_target ?? '?');
      return `${name} -> ${entry.target_kind === null ? style.bad(target) : target}`;
    }
    default:
      return entry.permissions.includes('x') && entry.kind === 'file' ? style.good(name) : name;
  }
}

function timeText(modified: number | null): string {
  return modified === null ? '-' : formatTime(new Date(modified * 1000)).slice(0, 16);
}

/** Like ls -l, with sizes one can read. */
export function renderList(entries: OutputOf<'file_list'>, { style }: RenderContext): string {
  if (entries.length === 0) return style.dim('(empty)');
  const owners = entries.map(({ uid, gid }) => `${String(uid)}:${String(gid)}`);
  const sizes = entries.map(({ kind, size }) => (kind === 'dir' ? '-' : formatBytes(size)));
  const ownerWidth = Math.max(...owners.map((owner) => owner.length));
  const sizeWidth = Math.max(...sizes.map((size) => size.length));
  return entries
    .map((entry, index) =>
      [
        kindLetters[entry.kind] + entry.permissions,
        (owners[index] ?? '').padEnd(ownerWidth),
        (sizes[index] ?? '').padStart(sizeWidth),
        timeText(entry.modified),
        nameText(entry, style),
      ].join('  '),
    )
    .join('\n');
}

export function renderStat(entry: OutputOf<'file_stat'>, { style, input }: RenderContext): string {
  const kinds = { file: 'file', dir: 'directory', symlink: 'symbolic link', other: 'special file' };
  return renderPairs(
    [
      ['Path', printable(typeof input['path'] === 'string' ? input['path'] : entry.name)],
      ['Kind', kinds[entry.kind]],
      [
        'Leads to',
        entry.link_target === null
          ? null
          : printable(entry.link_target) +
            (entry.target_kind === null ? style.bad(' (does not exist)') : ''),
      ],
      [
        'Size',
        `${formatBytes(entry.size)}${entry.size < 1024 ? '' : ` (${String(entry.size)} bytes)`}`,
      ],
      ['Permissions', entry.permissions],
      ['Owner', `${String(entry.uid)}:${String(entry.gid)}`],
      ['Modified', entry.modified === null ? null : formatTime(new Date(entry.modified * 1000))],
    ],
    style,
  );
}

export function renderEdited({ path, replacements }: OutputOf<'file_edit'>): string {
  return `${printable(path)}: ${count(replacements, 'replacement')}.`;
}

/** As with mkdir, mv and rm: silence is success. */
export function renderDone(): string {
  return '';
}

export function renderMatches(
  { matches, truncated }: OutputOf<'file_search'>,
  { style }: RenderContext,
): string {
  if (matches.length === 0) return style.dim('No match.');
  const lines = matches.map((match) => {
    const path = style.accent(printable(match.path));
    return match.line === 0 ? path : `${path}:${String(match.line)}: ${markedLine(match, style)}`;
  });
  if (truncated) lines.push(style.warn('There are more matches: raise --max-results.'));
  return lines.join('\n');
}

/** Offsets are bytes of the UTF-8 text. */
function markedLine(
  { text, start, end }: { readonly text: string; readonly start: number; readonly end: number },
  style: Style,
): string {
  const bytes = Buffer.from(text);
  const part = (from: number, to: number): string => printable(bytes.toString('utf8', from, to));
  return `${part(0, start)}${style.bold(part(start, end))}${part(end, bytes.length)}`.trimEnd();
}
