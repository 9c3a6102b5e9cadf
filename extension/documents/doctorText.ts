/** The doctor's findings as text. */
import type { OutputOf } from '../../protocol/operations.ts';

const marks = { ok: '✓', warning: '!', failed: '✗' } as const;

export function doctorText(report: OutputOf<'daemon_doctor'>): string {
  const failed = report.checks.filter(({ status }) => status === 'failed').length;
  const head = report.ok
    ? 'This computer can run Coppice machines.'
    : `${failed} of ${report.checks.length} checks failed.`;
  const lines = report.checks.flatMap(({ title, status, detail, fix }) => [
    `${marks[status]} ${title}: ${detail}`,
    ...(fix === null ? [] : [`    → ${fix}`]),
  ]);
  return [head, '', ...lines, ''].join('\n');
}
