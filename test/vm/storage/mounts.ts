/** Small file systems of their own for tests: what fills them fills nothing else. */
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { exec, mib } from './disks.ts';

export interface Mount {
  readonly directory: string;
  /** Takes all room that is left. */
  fill(): Promise<void>;
  drain(): Promise<void>;
  close(): Promise<void>;
}

export const isRoot = process.getuid?.() === 0;

/** A directory of the machine's own temporary file system, which cannot be filled. */
export async function mountTmpfs(bytes: number): Promise<Mount> {
  const top = await mkdtemp(path.join(os.tmpdir(), 'coppice-storage-'));
  const directory = path.join(top, 'mnt');
  await mkdir(directory);
  await exec('mount', ['-t', 'tmpfs', '-o', `size=${String(bytes)}`, 'tmpfs', directory]);
  return mounted(top, directory);
}

/** A file system made by `mkfs` in a file. */
export async function mountLoop(
  mkfs: readonly [string, ...string[]],
  bytes: number,
): Promise<Mount> {
  const top = await mkdtemp(path.join(os.tmpdir(), 'coppice-storage-'));
  const directory = path.join(top, 'mnt');
  const file = path.join(top, 'fs');
  try {
    await mkdir(directory);
    await exec('truncate', ['-s', String(bytes), file]);
    const [program, ...args] = mkfs;
    await exec(program, [...args, file]);
    await exec('mount', ['-o', 'loop', file, directory]);
  } catch (error) {
    await rm(top, { recursive: true, force: true });
    throw error;
  }
  return mounted(top, directory);
}

function mounted(top: string, directory: string): Mount {
  const filler = path.join(directory, 'filler');
  return {
    directory,
    fill: () => fillUp(filler),
    drain: async () => {
      await rm(filler, { force: true });
      await exec('sync', ['-f', directory]);
    },
    async close() {
      await exec('umount', [directory]);
      await rm(top, { recursive: true, force: true });
    },
  };
}

/** Writes a file until nothing more fits, down to the last block. */
export async function fillUp(filler: string): Promise<void> {
  const handle = await open(filler, 'a');
  try {
    for (let size = 8 * mib; size >= 4096;) {
      try {
        await handle.write(Buffer.alloc(size, 0xfe));
        if (size >= 65536) await handle.sync();
      } catch {
        size /= 4;
      }
    }
    await handle.sync().catch(() => undefined);
  } finally {
    await handle.close();
  }
}
