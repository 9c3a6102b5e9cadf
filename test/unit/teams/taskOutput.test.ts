import { describe, expect, it } from 'vitest';
import { cutText, shorten } from '../../../helper-daemon/teams/taskOutput.ts';

const output = (bytes: Buffer, totalBytes = bytes.length) => ({ head: bytes, totalBytes });

describe('the output of a task', () => {
  it('is whole when it fits', () => {
    expect(shorten(output(Buffer.from('äöü')), 6)).toBe('äöü');
  });

  it('is marked when there was more than is kept', () => {
    expect(shorten(output(Buffer.from('abc'), 10), 3)).toBe('abc... (truncated)');
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8])('has at most %i bytes and only whole characters', (limit) => {
    const cut = cutText('a€😀b', limit);
    expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(limit);
    expect('a€😀b'.startsWith(cut)).toBe(true);
  });

  it('stays within the limit when bytes that are no text grow into characters', () => {
    const text = shorten(output(Buffer.alloc(10, 0xff)), 10);
    expect(text).toBe('\ufffd\ufffd\ufffd... (truncated)');
  });
});
