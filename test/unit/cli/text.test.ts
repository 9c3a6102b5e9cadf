import { describe, expect, it } from 'vitest';
import { printable, printableLines } from '../../../helper-daemon/cli/text/printable.ts';
import { displayWidth, plainStyle } from '../../../helper-daemon/cli/text/style.ts';
import { renderPairs, renderTable } from '../../../helper-daemon/cli/text/table.ts';
import {
  count,
  formatAge,
  formatBytes,
  formatDuration,
  formatRoundAge,
} from '../../../helper-daemon/cli/text/units.ts';

describe('sizes', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1 KiB'],
    [1536, '1.5 KiB'],
    [200 * 1024 ** 2, '200 MiB'],
    [10 * 1024 ** 3, '10 GiB'],
    [1.25 * 1024 ** 4, '1.3 TiB'],
  ])('%d is %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });
});

describe('durations', () => {
  it.each([
    [0, '0 ms'],
    [84.4, '84 ms'],
    [1000, '1 s'],
    [3210, '3.2 s'],
    [9960, '10 s'],
    [59_400, '59 s'],
    [60_000, '1 min'],
    [250_000, '4 min 10 s'],
    [7_500_000, '2 h 5 min'],
    [273_600_000, '3 d 4 h'],
  ])('%d ms is %s', (milliseconds, text) => {
    expect(formatDuration(milliseconds)).toBe(text);
  });

  it('an age is never negative and survives a bad date', () => {
    expect(formatAge('2026-01-01T00:00:00Z', Date.parse('2025-12-31T00:00:00Z'))).toBe('0 ms');
    expect(formatAge('nonsense', 0)).toBe('?');
  });

  it('an age in a column has one unit', () => {
    const since = (ms: number): string => formatRoundAge(new Date(0).toISOString(), ms);
    expect([0, 5400, 59_000, 5_400_000, 1e9].map(since)).toEqual([
      '0 s',
      '5 s',
      '59 s',
      '1 h',
      '11 d',
    ]);
    expect(formatRoundAge('nonsense', 0)).toBe('?');
  });
});

describe('counts', () => {
  it('know one from many', () => {
    expect(count(1, 'file')).toBe('1 file');
    expect(count(0, 'file')).toBe('0 files');
    expect(count(2, 'entry', 'entries')).toBe('2 entries');
  });
});

describe('a table', () => {
  it('aligns columns, numbers to the right, and has no blanks at the ends of lines', () => {
    const table = renderTable(
      [{ title: 'NAME' }, { title: 'N', align: 'right' }, { title: 'LAST' }],
      [
        ['a', '1', ''],
        ['longer', '200', 'x'],
      ],
      plainStyle,
    );
    expect(table).toBe(['NAME      N  LAST', 'a         1', 'longer  200  x'].join('\n'));
  });

  it('counts wide characters as two columns and colours as none', () => {
    expect(displayWidth('日本')).toBe(4);
    expect(displayWidth('\u001b[31mred\u001b[39m')).toBe(3);
    expect(displayWidth('e\u0301')).toBe(1);
  });

  it('leaves out pairs without a value', () => {
    expect(
      renderPairs(
        [
          ['A', '1'],
          ['Long', null],
          ['B', ''],
        ],
        plainStyle,
      ),
    ).toBe('A  1');
  });
});

describe('text from a machine', () => {
  it('cannot drive the terminal', () => {
    expect(printable('a\u001b[2Jb\r\nc\u0007')).toBe('a\\x1b[2Jb\\x0d\\nc\\x07');
    expect(printable('abc\u202etxt')).toBe('abc\\u202etxt');
    expect(printable('Ünïcode 日本 ok')).toBe('Ünïcode 日本 ok');
  });

  it('keeps its lines where lines are meant', () => {
    expect(printableLines('one\r\ntwo\tthree\u001b]0;title\u0007\n')).toBe(
      'one\ntwo\tthree\\x1b]0;title\\x07\n',
    );
  });
});
