import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { cpioArchive } from '../../../images/initramfs/cpio.ts';

const entries = [
  { path: 'dev', mode: 0o040755 },
  { path: 'dev/console', mode: 0o020600, device: { major: 5, minor: 1 } },
  { path: 'init', mode: 0o100755, data: Buffer.from('agent') },
];

describe('the cpio writer', () => {
  it('writes headers, names and data on four-byte boundaries', () => {
    const archive = cpioArchive([{ path: 'init', mode: 0o100755, data: Buffer.from('abc') }]);
    expect(archive.subarray(0, 6).toString()).toBe('070701');
    expect(archive.subarray(14, 22).toString()).toBe('000081ed');
    expect(archive.subarray(110, 115).toString()).toBe('init\0');
    expect(archive.subarray(116, 120).toString('latin1')).toBe('abc\0');
    expect(archive.subarray(120, 126).toString()).toBe('070701');
  });

  it('gives the same bytes every time', () => {
    expect(cpioArchive(entries).equals(cpioArchive(entries))).toBe(true);
  });

  it('ends with the trailer and whole blocks', () => {
    const archive = cpioArchive(entries);
    expect(archive.includes('TRAILER!!!')).toBe(true);
    expect(archive.length % 512).toBe(0);
  });

  it.runIf(hasCpio())('is read by cpio, device node included', () => {
    const listing = execFileSync('cpio', ['-itv', '--quiet'], {
      input: cpioArchive(entries),
    }).toString();
    expect(listing).toMatch(/crw-------.* 5, +1 .*dev\/console/);
    expect(listing).toMatch(/-rwxr-xr-x.* 5 .*init/);
  });
});

function hasCpio(): boolean {
  try {
    execFileSync('cpio', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
