/** Sets of ports as ranges that neither overlap nor touch: intervals in nft must not overlap. */
import type { PortRange } from '../../../protocol/networkTarget.ts';

const lastPort = 65_535;

/** The same ports in ascending order, overlapping and adjacent ranges as one. */
export function united(ranges: readonly PortRange[]): PortRange[] {
  const sorted = [...ranges].sort(([a], [b]) => a - b);
  const result: PortRange[] = [];
  for (const [first, last] of sorted) {
    const before = result.at(-1);
    if (before !== undefined && first <= before[1] + 1) {
      result[result.length - 1] = [before[0], Math.max(before[1], last)];
    } else {
      result.push([first, last]);
    }
  }
  return result;
}

/** What of `ranges` is in none of `taken`. */
export function without(ranges: readonly PortRange[], taken: readonly PortRange[]): PortRange[] {
  let left = united(ranges);
  for (const [first, last] of taken) {
    left = left.flatMap(([from, to]) => {
      const parts: PortRange[] = [];
      if (from < first) parts.push([from, Math.min(to, first - 1)]);
      if (to > last) parts.push([Math.max(from, last + 1), to]);
      return parts;
    });
  }
  return left;
}

/**
 * Cuts all ports where one of `ranges` begins or ends: two pieces are the same or have no port in common, so that
 * each of `ranges` can be opened and closed by itself.
 */
export function pieces(ranges: readonly PortRange[]): PortRange[] {
  const starts = new Set<number>([0, ...ranges.flatMap(([first, last]) => [first, last + 1])]);
  const sorted = [...starts].filter((start) => start <= lastPort).sort((a, b) => a - b);
  return sorted.map((start, index) => [start, (sorted[index + 1] ?? lastPort + 1) - 1]);
}

export function within([first, last]: PortRange, [from, to]: PortRange): boolean {
  return first >= from && last <= to;
}

export function portText([first, last]: PortRange): string {
  return first === last ? String(first) : `${String(first)}-${String(last)}`;
}
