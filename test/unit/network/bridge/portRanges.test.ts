import { describe, expect, it } from 'vitest';
import {
  pieces,
  portText,
  united,
  without,
} from '../../../../helper-daemon/network/bridge/portRanges.ts';

describe('ranges of ports', () => {
  it('become one where they overlap or touch', () => {
    expect(
      united([
        [90, 99],
        [1, 5],
        [80, 89],
        [3, 7],
        [200, 200],
      ]),
    ).toEqual([
      [1, 7],
      [80, 99],
      [200, 200],
    ]);
  });

  it('lose what others have taken', () => {
    expect(
      without(
        [[1, 100]],
        [
          [1, 10],
          [50, 60],
          [100, 200],
        ],
      ),
    ).toEqual([
      [11, 49],
      [61, 99],
    ]);
    expect(without([[5, 9]], [[1, 65_535]])).toEqual([]);
  });

  it('are cut so that every range is made of whole pieces and no two pieces overlap', () => {
    const ranges = [
      [443, 443],
      [400, 500],
      [8000, 65_535],
    ] as const;
    const cut = pieces(ranges);
    for (let port = 0; port <= 65_535; port += 1) {
      expect(cut.filter(([first, last]) => first <= port && port <= last)).toHaveLength(1);
    }
    for (const [from, to] of ranges) {
      const inside = cut.filter(([first, last]) => first >= from && last <= to);
      expect(inside.reduce((sum, [first, last]) => sum + last - first + 1, 0)).toBe(to - from + 1);
    }
  });

  it('are one number where they hold one port', () => {
    expect([portText([22, 22]), portText([22, 23])]).toEqual(['22', '22-23']);
  });
});
