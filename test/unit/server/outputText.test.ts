import { describe, expect, it } from 'vitest';
import { captureText } from '../../../helper-daemon/server/handlers/outputText.ts';

describe('captureText', () => {
  it('returns everything when nothing was left out', () => {
    const parts = { head: Buffer.from('ab'), tail: Buffer.from('cd'), totalBytes: 4n };
    expect(captureText(parts)).toBe('abcd');
  });

  it('marks the gap with the counts', () => {
    const parts = { head: Buffer.from('abc'), tail: Buffer.from('xyz'), totalBytes: 1000n };
    expect(captureText(parts)).toBe(
      'abc\n[TRUNCATED: 1000 bytes total, showing first 3 bytes and last 3 bytes]\nxyz',
    );
  });

  it('leaves nothing out when it begins where it was asked to', () => {
    const rest = { head: Buffer.from('cd'), tail: Buffer.from('ef'), totalBytes: 6n };
    expect(captureText(rest, 2)).toBe('cdef');
    const gap = { head: Buffer.alloc(0), tail: Buffer.from('ef'), totalBytes: 1006n };
    expect(captureText(gap, 6)).toBe(
      '\n[TRUNCATED: 1000 bytes total, showing first 0 bytes and last 2 bytes]\nef',
    );
  });

  it('does not cut characters in two', () => {
    const euro = Buffer.from('€');
    const parts = {
      head: Buffer.concat([Buffer.from('a'), euro.subarray(0, 2)]),
      tail: Buffer.concat([euro.subarray(1), Buffer.from('z')]),
      totalBytes: 99n,
    };
    const text = captureText(parts);
    expect(text).not.toContain('\ufffd');
    expect(text.startsWith('a\n')).toBe(true);
    expect(text.endsWith('\nz')).toBe(true);
  });
});
