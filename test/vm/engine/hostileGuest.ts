/** An initramfs whose /init is hostileInit.c; undefined where there is no C compiler. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { cpioArchive } from '../../../images/initramfs/cpio.ts';

export interface HostileGuest {
  readonly initramfs: string;
  dispose(): void;
}

export function buildHostileGuest(): HostileGuest | undefined {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'coppice-hostile-'));
  const dispose = (): void => rmSync(directory, { recursive: true, force: true });
  const program = path.join(directory, 'init');
  const source = path.join(import.meta.dirname, 'hostileInit.c');
  try {
    execFileSync('cc', ['-static', '-O1', '-o', program, source], { stdio: 'ignore' });
  } catch {
    dispose();
    return undefined;
  }
  const initramfs = path.join(directory, 'initramfs.cpio');
  writeFileSync(
    initramfs,
    cpioArchive([
      { path: 'dev', mode: 0o040755 },
      { path: 'dev/console', mode: 0o020600, device: { major: 5, minor: 1 } },
      { path: 'init', mode: 0o100755, data: readFileSync(program) },
    ]),
  );
  return { initramfs, dispose };
}
