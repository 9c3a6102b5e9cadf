import type { OutputOf } from '../../../protocol/operations.ts';
import { printable, printableLines } from '../text/printable.ts';
import type { Style } from '../text/style.ts';
import type { RenderContext } from './renderContext.ts';

export function renderCloned(clone: OutputOf<'git_clone'>, { style }: RenderContext): string {
  const at = clone.commit_sha === '' ? 'it has no commits yet' : clone.commit_sha.slice(0, 12);
  return `Cloned ${printable(clone.url)} into ${style.bold(printable(clone.path))} (${at}).`;
}

export function renderStatus(status: OutputOf<'git_status'>, { style }: RenderContext): string {
  if ('error' in status) return printable(status.message);
  const distance = [
    ...(status.ahead === 0 ? [] : [`${String(status.ahead)} ahead`]),
    ...(status.behind === 0 ? [] : [`${String(status.behind)} behind`]),
  ].join(', ');
  const lines = [
    `On ${style.bold(printable(status.branch))}${distance === '' ? '' : ` (${distance})`}${status.dirty ? '' : ', nothing to commit'}`,
    ...section('In conflict', status.conflicted, style.warn),
    ...section('Staged', status.staged, style.good),
    ...section('Changed', status.modified, style.warn),
    ...section('New', status.untracked, style.dim),
    ...(status.truncated ? [style.dim('There are more files than are listed.')] : []),
  ];
  return lines.join('\n');
}

function section(
  title: string,
  paths: readonly string[],
  paint: (text: string) => string,
): string[] {
  return paths.length === 0
    ? []
    : [`${title}:`, ...paths.map((path) => `  ${paint(printable(path))}`)];
}

export function renderCommitted(commit: OutputOf<'git_commit'>, { style }: RenderContext): string {
  if ('status' in commit) return commit.message;
  return `Committed ${printable(commit.summary)} on ${style.bold(printable(commit.branch))}.`;
}

export function renderPushed(push: OutputOf<'git_push'>, { style }: RenderContext): string {
  const done = `Pushed ${style.bold(printable(push.branch))} to ${printable(push.remote)}.`;
  return push.output === '' ? done : `${printableLines(push.output)}\n${done}`;
}

export function renderDiff({ diff }: OutputOf<'git_diff'>): string {
  return printableLines(diff);
}

type Merge = OutputOf<'workspace_merge'>;
type Row = Merge['results'][number];

export function renderMerged(merge: Merge, context: RenderContext): string {
  const { style } = context;
  const target = style.bold(printable(String(context.input['target_workspace'])));
  const commits = countOf(merge.total_commits_applied, 'commit');
  const sources = countOf(merge.merged_sources.length, 'source');
  const done = merge.preview
    ? `${target} would get ${commits} of ${sources}; nothing was changed.`
    : `${target} got ${commits} of ${sources}.`;
  return [
    ...merge.results.flatMap((row) => renderRow(row, style)),
    done,
    ...(merge.rollback_snapshot === null
      ? []
      : [
          style.dim(
            `Before it: coppice snapshot restore ${printable(String(context.input['target_workspace']))} ${merge.rollback_snapshot}`,
          ),
        ]),
  ].join('\n');
}

function renderRow(row: Row, style: Style): string[] {
  const name = printable(row.source_id);
  const commits = countOf(row.commits_applied, 'commit');
  return [
    row.success
      ? `${style.good(name)}: ${commits}`
      : `${style.warn(name)}: ${printableLines(row.error ?? '')} (${commits})`,
    ...row.conflicted.map((path) => `  conflict: ${printable(path)}`),
    ...(row.branch === undefined ? [] : [`  kept as branch ${printable(row.branch)}`]),
    ...(row.uncommitted === undefined
      ? []
      : [
          style.warn(
            `  left behind, not committed: ${row.uncommitted.map((path) => printable(path)).join(', ')}`,
          ),
        ]),
    ...(row.files ?? []).map(({ path, change, from }) =>
      style.dim(
        `  ${change.replace('_', ' ')} ${from === undefined ? '' : `${printable(from)} to `}${printable(path)}`,
      ),
    ),
    ...(row.files_truncated === true ? [style.dim('  and more')] : []),
  ];
}

function countOf(count: number, what: string): string {
  return `${String(count)} ${what}${count === 1 ? '' : 's'}`;
}
