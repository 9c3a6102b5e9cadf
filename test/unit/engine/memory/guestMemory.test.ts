import { describe, expect, it } from 'vitest';
import { coveringFile } from '../../../../helper-daemon/engine/memory/guestMemory.ts';

const maps = (...lines: string[]): string =>
  ['00001000-00002000 r-xp 00000000 fe:00 7 /x', ...lines, ''].join('\n');
const name = '/memfd:coppice-memory (deleted)';

describe('coveringFile', () => {
  it('knows memory that belongs to no file', () => {
    const text = maps('7f0000000000-7f0010000000 rw-p 00000000 00:00 0 ');
    expect(coveringFile(text, 0x7f0000000000, 0x10000000).inode).toBe('0');
  });

  it('knows memory inside a larger mapping', () => {
    const text = maps('7effffff0000-7f0010001000 rw-p 00000000 00:00 0 ');
    expect(coveringFile(text, 0x7f0000000000, 0x10000000).inode).toBe('0');
  });

  it('puts a mapping together that the kernel has split', () => {
    const text = maps(
      `7f0000000000-7f0008000000 rw-p 00000000 00:01 42 ${name}`,
      `7f0008000000-7f0010000000 rw-p 08000000 00:01 42 ${name}`,
    );
    expect(coveringFile(text, 0x7f0000000000, 0x10000000)).toEqual({
      device: '00:01',
      inode: '42',
    });
  });

  it.each([
    [
      'a hole',
      [
        '7f0000000000-7f0008000000 rw-p 00000000 00:00 0 ',
        '7f0008001000-7f0010000000 rw-p 00000000 00:00 0 ',
      ],
    ],
    [
      'two files',
      [
        `7f0000000000-7f0008000000 rw-p 00000000 00:01 42 ${name}`,
        `7f0008000000-7f0010000000 rw-p 08000000 00:01 43 ${name}`,
      ],
    ],
    ['another offset', [`7f0000000000-7f0010000000 rw-p 00001000 00:01 42 ${name}`]],
    ['a shared mapping', [`7f0000000000-7f0010000000 rw-s 00000000 00:01 42 ${name}`]],
    ['too little', ['7f0000000000-7f0008000000 rw-p 00000000 00:00 0 ']],
  ])('refuses %s', (_, lines) => {
    expect(() => coveringFile(maps(...lines), 0x7f0000000000, 0x10000000)).toThrow(
      /not mapped as expected/,
    );
  });
});
