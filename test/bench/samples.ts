/** Samples of one thing and of its baseline, taken in turns in one run: the machine is noisy, ratios less so. */

export interface Comparison {
  readonly what: string;
  readonly baselineName: string;
  readonly unit: 'ms' | 'MB/s' | 'MiB' | 'op/s';
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

/** What one group of measurements found. */
export interface Measured {
  readonly comparisons: readonly Comparison[];
  /** What the numbers alone do not say, or why some are missing. */
  readonly notes?: readonly string[];
}

/** Of samples: the median, and the quartiles between which the middle half lies. */
export interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

export interface Verdict {
  readonly baseline: Spread | undefined;
  readonly ours: Spread;
  readonly ratio: number | undefined;
  readonly kept: boolean | undefined;
}

export const noPromise: Promise_ = { kind: 'none' };

/** Something that has nothing to be compared with. */
export function alone(
  what: string,
  unit: Comparison['unit'],
  ours: readonly number[],
  promise: Promise_ = noPromise,
): Comparison {
  return { what, baselineName: '', unit, baseline: [], ours, promise };
}

export function judge({ baseline, ours, promise }: Comparison): Verdict {
  const our = spreadOf(ours);
  const base = baseline.length === 0 ? undefined : spreadOf(baseline);
  const ratio = base === undefined ? undefined : our.median / base.median;
  return { baseline: base, ours: our, ratio, kept: isKept(promise, our.median, ratio) };
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  return {
    median: quantile(sorted, 0.5),
    low: quantile(sorted, 0.25),
    high: quantile(sorted, 0.75),
  };
}

function quantile(sorted: readonly number[], part: number): number {
  const position = (sorted.length - 1) * part;
  const below = sorted[Math.floor(position)] ?? Number.NaN;
  const above = sorted[Math.ceil(position)] ?? Number.NaN;
  return below + (above - below) * (position - Math.floor(position));
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
