import type { OutputOf } from '../../../protocol/operations.ts';
import type { AuditRow } from '../../../protocol/operations/audit.ts';
import { printable } from '../text/printable.ts';
import { cut, displayWidth, type Style } from '../text/style.ts';
import { renderTable } from '../text/table.ts';
import { count, formatDuration, formatTime } from '../text/units.ts';
import type { RenderContext } from './renderContext.ts';

const columns = [
  { title: 'TIME', width: 19 },
  { title: 'WHO', width: 14 },
  { title: 'OPERATION', width: 20 },
  { title: 'MACHINE', width: 16 },
  { title: 'OUTCOME', width: 14 },
  { title: 'TOOK', width: 8 },
  { title: 'INPUT', width: 0 },
] as const;

/** Without a terminal nothing is cut. */
const inputWidth = 200;

/** Oldest first, as in a log. */
export function renderAudit(
  { rows, more }: OutputOf<'audit_list'>,
  { style, width, input }: RenderContext,
): string {
  if (rows.length === 0) return 'Nothing is recorded that matches.';
  const table = renderTable(
    columns.map(({ title }) => ({ title })),
    rows.toSorted((a, b) => a.seq - b.seq).map((row) => cells(row, style)),
    style,
    width,
  );
  if (!more) return table;
  const hint =
    input['after_seq'] === undefined
      ? `older ones: --before-seq ${String(rows.at(-1)?.seq ?? 0)}`
      : `newer ones: --after-seq ${String(rows.at(-1)?.seq ?? 0)}`;
  return `${table}\n${style.dim(`There are more; ${hint}`)}`;
}

/** A row below those that were printed before: columns have a fixed width. */
export function renderAuditLine(
  row: AuditRow,
  { style, width }: Pick<RenderContext, 'style' | 'width'>,
): string {
  const parts = cells(row, style);
  const head = parts
    .slice(0, -1)
    .map((cell, index) => {
      const wanted = columns[index]?.width ?? 0;
      return cell + ' '.repeat(Math.max(0, wanted - displayWidth(cell)));
    })
    .join('  ');
  const room = width === undefined ? inputWidth : Math.max(10, width - displayWidth(head) - 2);
  return `${head}  ${cut(parts.at(-1) ?? '', room)}`.trimEnd();
}

function cells(row: AuditRow, style: Style): readonly string[] {
  const machines = row.workspaces.map(({ id, name }) => name ?? id?.slice(0, 8) ?? '?');
  const [first = '-', ...others] = machines;
  return [
    formatTime(new Date(row.at)),
    printable(row.agent ?? `uid ${String(row.uid)}`),
    row.operation,
    printable(others.length === 0 ? first : `${first} +${String(others.length)}`),
    outcomeText(row, style),
    row.duration_ms === null ? '-' : formatDuration(row.duration_ms),
    printable(row.target),
  ];
}

function outcomeText({ outcome, code, times }: AuditRow, style: Style): string {
  const text = `${code ?? outcome}${times > 1 ? ` ×${String(times)}` : ''}`;
  if (outcome === 'ok') return style.good(text);
  return outcome === 'denied' ? style.warn(text) : style.bad(text);
}

export function renderAuditVerified(
  { ok, rows, head, problem }: OutputOf<'audit_verify'>,
  { style }: RenderContext,
): string {
  if (ok) {
    return [
      style.good(`The audit is whole: ${count(rows, 'row')}.`),
      `Head: ${head}  ${style.dim('keep it elsewhere, and give it with --expect next time')}`,
    ].join('\n');
  }
  return [
    style.bad(`The audit was changed: ${problem?.what ?? 'a row is not as it was written'}.`),
    `The ${count(rows, 'row')} before that ${rows === 1 ? 'is' : 'are'} whole.`,
  ].join('\n');
}
