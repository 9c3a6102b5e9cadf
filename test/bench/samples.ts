/** Samples of one thing and of its baseline, taken in turns in one run: the machine is noisy, ratios less so. */

export interface Comparison {
  readonly what: string;
  readonly baselineName: string;
  readonly unit: 'ms' | 'MB/s' | 'MiB';
  readonly baseline: readonly number[];
  readonly ours: readonly number[];
  /** The design's promise about ours / baseline, or about ours alone. */
  readonly promise: Promise_;
}

export type Promise_ =
  | { readonly kind: 'ratio at most'; readonly limit: number }
  | { readonly kind: 'ratio at least'; readonly limit: number }
  | { readonly kind: 'at most'; readonly limit: number }
  | { readonly kind: 'none' };

export interface Verdict {
  readonly baseline: number | undefined;
  readonly ours: number;
  readonly ratio: number | undefined;
  readonly kept: boolean | undefined;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

export function judge({ baseline, ours, promise }: Comparison): Verdict {
  const our = median(ours);
  const base = baseline.length === 0 ? undefined : median(baseline);
  const ratio = base === undefined ? undefined : our / base;
  return { baseline: base, ours: our, ratio, kept: isKept(promise, our, ratio) };
}

function isKept(promise: Promise_, ours: number, ratio: number | undefined): boolean | undefined {
  switch (promise.kind) {
    case 'ratio at most':
      return ratio === undefined ? undefined : ratio <= promise.limit;
    case 'ratio at least':
      return ratio === undefined ? undefined : ratio >= promise.limit;
    case 'at most':
      return ours <= promise.limit;
    case 'none':
      return undefined;
  }
}

/** Milliseconds that `work` takes, and what it returns. */
export async function timed<T>(work: () => Promise<T>): Promise<{ ms: number; value: T }> {
  const started = performance.now();
  const value = await work();
  return { ms: performance.now() - started, value };
}
