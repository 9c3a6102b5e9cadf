/** Counters and histograms as plain numbers: cheap to keep whether anybody reads them or not. */

export type Labels = Readonly<Record<string, string>>;

export interface Series {
  readonly labels: Labels;
  value: number;
}

export interface Counter {
  readonly name: string;
  readonly help: string;
  add(labels: Labels, amount?: number): void;
  series(): readonly Series[];
}

export interface Distribution {
  readonly labels: Labels;
  /** Observations up to each bound, not added up, and those above the last. */
  readonly counts: number[];
  sum: number;
}

export interface Histogram {
  readonly name: string;
  readonly help: string;
  /** Upper bounds, ascending. */
  readonly bounds: readonly number[];
  observe(labels: Labels, value: number): void;
  series(): readonly Distribution[];
}

export function counter(name: string, help: string): Counter {
  const known = new Map<string, Series>();
  return {
    name,
    help,
    add(labels, amount = 1) {
      const one = seriesOf(known, labels, () => ({ labels, value: 0 }));
      one.value += amount;
    },
    series: () => [...known.values()],
  };
}

export function histogram(name: string, help: string, bounds: readonly number[]): Histogram {
  const known = new Map<string, Distribution>();
  return {
    name,
    help,
    bounds,
    observe(labels, value) {
      const one = seriesOf(known, labels, () => ({
        labels,
        counts: new Array<number>(bounds.length + 1).fill(0),
        sum: 0,
      }));
      const bucket = bounds.findIndex((bound) => value <= bound);
      const index = bucket < 0 ? bounds.length : bucket;
      one.counts[index] = (one.counts[index] ?? 0) + 1;
      one.sum += value;
    },
    series: () => [...known.values()],
  };
}

function seriesOf<T>(known: Map<string, T>, labels: Labels, make: () => T): T {
  const key = JSON.stringify(Object.values(labels));
  let one = known.get(key);
  if (one === undefined) {
    one = make();
    known.set(key, one);
  }
  return one;
}
