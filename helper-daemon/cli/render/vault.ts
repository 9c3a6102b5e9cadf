import type { OutputOf } from '../../../protocol/operations.ts';
import { printable, printableLines } from '../text/printable.ts';
import { renderPairs, renderTable } from '../text/table.ts';
import { count, formatBytes, formatRoundAge } from '../text/units.ts';
import type { RenderContext } from './renderContext.ts';

/** What goes to a file or a program is the text itself. */
function noteText(text: string, { width }: RenderContext): string {
  return width === undefined ? text.replace(/\n$/, '') : printableLines(text).trimEnd();
}

export function renderNote({ content }: OutputOf<'vault_read'>, context: RenderContext): string {
  return noteText(content, context);
}

export function renderWritten({ path, bytes, created }: OutputOf<'vault_write'>): string {
  return `${printable(path)}: ${created ? 'made' : 'written'}, ${formatBytes(bytes)}.`;
}

export function renderResults(
  { results, truncated }: OutputOf<'vault_search'>,
  { style }: RenderContext,
): string {
  if (results.length === 0) return style.dim('No match.');
  const lines = results.map(
    ({ path, line_number, line }) =>
      `${style.accent(printable(path))}:${String(line_number)}: ${printable(line)}`,
  );
  if (truncated) lines.push(style.warn('There are more matches: raise --max-results.'));
  return lines.join('\n');
}

export function renderEntries(
  { entries, truncated }: OutputOf<'vault_list'>,
  { style }: RenderContext,
): string {
  if (entries.length === 0) return style.dim('(empty)');
  const sizes = entries.map(({ size }) => (size === null ? '-' : formatBytes(size)));
  const width = Math.max(...sizes.map((size) => size.length));
  const lines = entries.map(({ path, is_dir }, index) => {
    const name = is_dir ? style.accent(`${printable(path)}/`) : printable(path);
    return `${(sizes[index] ?? '').padStart(width)}  ${name}`;
  });
  if (truncated) lines.push(style.warn('There is more: list a folder.'));
  return lines.join('\n');
}

export function renderDeleted({ path }: OutputOf<'vault_delete'>): string {
  const name = printable(path);
  return `${name}: deleted. What it held is kept: coppice vault history ${name}`;
}

export function renderFrontMatter(
  { path, frontmatter, problem }: OutputOf<'vault_frontmatter'>,
  { style }: RenderContext,
): string {
  if (problem !== null) {
    return style.warn(
      `The front matter of ${printable(path)} cannot be read: ${printable(problem)}.`,
    );
  }
  const pairs = Object.entries(frontmatter ?? {});
  if (pairs.length === 0) return style.dim('(no front matter)');
  return renderPairs(
    pairs.map(([key, value]) => [
      printable(key),
      printable(typeof value === 'string' ? value : JSON.stringify(value)),
    ]),
    style,
  );
}

export function renderTags({ tags }: OutputOf<'vault_tags'>, { style }: RenderContext): string {
  return tags.length === 0 ? style.dim('(no tags)') : tags.map(printable).join('\n');
}

export function renderReplaced({ path, replacements }: OutputOf<'vault_replace'>): string {
  return `${printable(path)}: ${count(replacements, 'replacement')}.`;
}

export function renderMoved({ from, to }: OutputOf<'vault_move'>): string {
  return `${printable(from)} is now ${printable(to)}.`;
}

export function renderStats(stats: OutputOf<'vault_stats'>, { style, now }: RenderContext): string {
  const facts = renderPairs(
    [
      ['Notes', `${String(stats.total_notes)} (${formatBytes(stats.total_size_bytes)})`],
      ['Folders', String(stats.total_folders)],
    ],
    style,
  );
  if (stats.recent_files.length === 0) return facts;
  const table = renderTable(
    [{ title: 'NEWEST' }, { title: 'SIZE', align: 'right' }, { title: 'AGE' }],
    stats.recent_files.map(({ path, size_bytes, modified }) => [
      printable(path),
      formatBytes(size_bytes),
      formatRoundAge(modified, now),
    ]),
    style,
  );
  return `${facts}\n\n${table}`;
}

export function renderLinks(
  { links, backlinks }: OutputOf<'vault_links'>,
  { style }: RenderContext,
): string {
  if (links.length + backlinks.length === 0) return style.dim('No links.');
  return [
    ...links.map(({ target, path }) => {
      const to = path === null ? style.bad('(no such note)') : printable(path);
      return `-> ${printable(target)}  ${to}`;
    }),
    ...backlinks.map(
      ({ path, line_number, line }) =>
        `<- ${style.accent(printable(path))}:${String(line_number)}: ${printable(line)}`,
    ),
  ].join('\n');
}

export function renderHistory(
  { versions, content }: OutputOf<'vault_history'>,
  context: RenderContext,
): string {
  const { style, now } = context;
  if (content !== null) return noteText(content, context);
  if (versions.length === 0) return style.dim('No former contents.');
  return renderTable(
    [
      { title: 'VERSION', align: 'right' },
      { title: 'UNTIL' },
      { title: 'THEN' },
      { title: 'SIZE', align: 'right' },
      { title: 'NOTE' },
    ],
    versions.map(({ version, replaced_at, replaced_by, bytes, path }) => [
      String(version),
      formatRoundAge(replaced_at, now),
      printable(replaced_by),
      formatBytes(bytes),
      printable(path),
    ]),
    style,
  );
}

export function renderRestored({ path, version }: OutputOf<'vault_restore'>): string {
  return `${printable(path)}: holds version ${String(version)} again.`;
}
