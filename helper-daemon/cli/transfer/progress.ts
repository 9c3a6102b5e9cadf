/** Bytes and rate of a transfer while it runs. */
import type { CliContext } from '../context.ts';
import { formatBytes, formatDuration } from '../text/units.ts';

export interface TransferProgress {
  /** @param total bytes so far */
  bytes(total: number): void;
  stop(): void;
}

const refreshMs = 100;

/** A renewing line on a terminal, nothing in a log: there the summary at the end says it all. */
export function transferProgress(
  context: CliContext,
  what: string,
  expected?: number,
): TransferProgress {
  if (!process.stderr.isTTY || context.json || context.quiet) {
    return { bytes: () => undefined, stop: () => undefined };
  }
  const line = context.progress(what);
  const started = performance.now();
  let next = 0;
  return {
    bytes(total) {
      const now = performance.now();
      if (now < next) return;
      next = now + refreshMs;
      line.update(`${what}  ${describe(total, expected, now - started)}`);
    },
    stop: () => line.stop(),
  };
}

function describe(total: number, expected: number | undefined, elapsedMs: number): string {
  const rate = (total * 1000) / Math.max(1, elapsedMs);
  const speed = `${formatBytes(rate)}/s`;
  if (expected === undefined || expected === 0) return `${formatBytes(total)}, ${speed}`;
  const left = rate === 0 ? '' : `, ${formatDuration(((expected - total) * 1000) / rate)} left`;
  return `${formatBytes(total)} of ${formatBytes(expected)}, ${speed}${left}`;
}

/** "200 MiB in 1.2 s (163 MiB/s)" */
export function transferSummary(bytes: number, elapsedMs: number): string {
  const took = `${formatBytes(bytes)} in ${formatDuration(elapsedMs)}`;
  // Of a short copy the rate says nothing.
  return elapsedMs < 500 ? took : `${took} (${formatBytes((bytes * 1000) / elapsedMs)}/s)`;
}
