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
