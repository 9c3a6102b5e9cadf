/** A disk with a distribution on it, for tests that the bare initramfs cannot serve. */
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import type { MachineSpec } from '../../../helper-daemon/engine/machine.ts';
import { cacheDir } from '../../../helper-daemon/images/cacheDir.ts';

/** Any image that was built here; tests that need one are skipped where there is none. */
export const testImage = findImage();

function findImage(): string | undefined {
  const images = path.join(cacheDir(), 'images');
  if (!existsSync(images)) return undefined;
  return readdirSync(images)
    .map((name) => path.join(images, name, 'disk.qcow2'))
    .find((file) => existsSync(file));
}

export function imageOverlay(directory: string): NonNullable<MachineSpec['disk']> {
  const file = path.join(directory, `${randomUUID()}.qcow2`);
  const base = testImage ?? '';
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', file]);
  return { path: file, format: 'qcow2' };
}
