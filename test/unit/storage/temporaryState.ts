/** A state directory of its own with one image, for tests of files only. */
import { createHash, randomUUID } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { BaseImage } from '../../../helper-daemon/storage/backend.ts';
import { run } from '../../../helper-daemon/system/run.ts';

export interface TemporaryState {
  readonly state: string;
  image(): Promise<BaseImage>;
  remove(): Promise<void>;
}

export const mib = 1024 * 1024;

export async function temporaryState(): Promise<TemporaryState> {
  const state = await mkdtemp(path.join(os.tmpdir(), 'coppice-unit-storage-'));
  const images = path.join(state, 'images');
  await mkdir(images);
  return {
    state,
    async image() {
      const made = path.join(images, randomUUID());
      await run('qemu-img', ['create', '-q', '-f', 'qcow2', made, '32M']);
      await run('qemu-io', ['-f', 'qcow2', '-c', 'write -P 0x11 0 1M', made]);
      const hex = createHash('sha256')
        .update(await readFile(made))
        .digest('hex');
      const file = path.join(images, `${hex}.qcow2`);
      await chmod(made, 0o444);
      await rename(made, file);
      return { kind: 'image', path: file, digest: `sha256:${hex}`, virtualBytes: 32 * mib };
    },
    remove: () => rm(state, { recursive: true, force: true }),
  };
}
