import type { OutputOf } from '../../../protocol/operations.ts';
import { printable, printableLines } from '../text/printable.ts';
import { formatDuration } from '../text/units.ts';
import type { RenderContext } from './renderContext.ts';

/** What each machine said under a heading of its own, then one line that counts. */
export function renderParallel(
  { results, summary }: OutputOf<'exec_parallel'>,
  { style }: RenderContext,
): string {
  const parts = results.map(({ workspace_name, exit_code, timed_out, stdout, stderr }) => {
    const end = timed_out
      ? style.bad('timed out')
      : exit_code === 0
        ? style.good('exit 0')
        : style.bad(`exit ${String(exit_code)}`);
    const said = [stdout, stderr].filter((text) => text !== '').map((text) => text.trimEnd());
    return [`${style.bold(printable(workspace_name))}  ${end}`, ...said.map(printableLines)].join(
      '\n',
    );
  });
  const counts = `${String(summary.succeeded)} of ${String(summary.total)} succeeded in ${formatDuration(summary.elapsed_ms)}`;
  return [...parts, style.dim(counts)].join('\n\n');
}
