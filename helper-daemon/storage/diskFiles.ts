/** Whole files or none: what is made appears under its name in one step, what was half made is known as such. */
import { randomBytes } from 'node:crypto';
import { createHash } from 'node:crypto';
import { chmod, chown, open, rename, rm, stat, statfs } from 'node:fs/promises';
import path from 'node:path';
import { run } from '../system/run.ts';
import type { Account } from '../system/users.ts';
import type { LayerStamp, StorageSpace } from './backend.ts';
import { errnoOf, layerMissing } from './storageErrors.ts';

export const uuidPattern = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';

const headMode = 0o600;

/** Temporary files of one directory. Those in use by this process are never taken for left-overs. */
export interface PartFiles {
  /**
   * Lets `make` fill a new file beside `target` and moves it to `target`; nothing is left when it fails.
   * The file is fsynced first where `durable` says so.
   */
  publish(target: string, durable: boolean, make: (part: string) => Promise<void>): Promise<void>;
  /** Gives a file name to work with that is gone afterwards. */
  scratch<T>(near: string, work: (part: string) => Promise<T>): Promise<T>;
  inUse(name: string): boolean;
}

export const partPattern = `${uuidPattern}\\.[0-9a-f]{12}\\.part`;

export function partFiles(): PartFiles {
  const active = new Set<string>();

  async function scratch<T>(near: string, work: (part: string) => Promise<T>): Promise<T> {
    const id = path.basename(near).split('.', 1)[0] ?? '';
    const name = `${id}.${randomBytes(6).toString('hex')}.part`;
    const part = path.join(path.dirname(near), name);
    active.add(name);
    try {
      return await work(part);
    } finally {
      await rm(part, { force: true });
      active.delete(name);
    }
  }

  return {
    scratch,
    inUse: (name) => active.has(name),
    async publish(target, durable, make) {
      await scratch(target, async (part) => {
        await make(part);
        if (durable) await syncPath(part);
        await rename(part, target);
        if (durable) await syncPath(path.dirname(target));
      });
    },
  };
}

/** Makes a file, or the names in a directory, survive a power cut. */
export async function syncPath(file: string): Promise<void> {
  const handle = await open(file, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export async function makeHeadFile(file: string, owner: Account | undefined): Promise<void> {
  await chmod(file, headMode);
  if (owner !== undefined) await chown(file, owner.uid, owner.gid);
}

/** From now on the daemon's own and unwritable, whoever wrote it before. */
export async function makeLayerFile(
  file: string,
  readers: 'every machine' | 'the daemon',
): Promise<void> {
  await chown(file, process.getuid?.() ?? 0, process.getgid?.() ?? 0);
  await chmod(file, readers === 'every machine' ? 0o444 : 0o400);
}

export async function fileExists(file: string): Promise<boolean> {
  try {
    return (await stat(file)).isFile();
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
}

/** @throws CoppiceError `layer_missing` naming the locator */
export async function requireFile(file: string, locator: string): Promise<void> {
  if (!(await fileExists(file))) throw layerMissing(locator);
}

/** Copies with shared blocks where the file system can, and keeps holes. */
export async function copyDisk(from: string, to: string): Promise<void> {
  await run('cp', ['--reflink=auto', '--sparse=auto', '--', from, to]);
}

/** @throws CoppiceError `layer_missing` */
export async function fileStamp(file: string, locator: string): Promise<LayerStamp> {
  const facts = await stat(file, { bigint: true }).catch((error: unknown) => {
    throw errnoOf(error) === 'ENOENT' ? layerMissing(locator) : error;
  });
  // Not the device: its number may be another one after the host was restarted.
  const parts = [facts.ino, facts.size, facts.mtimeNs, facts.ctimeNs];
  return { stamp: parts.join(':'), bytes: Number(facts.blocks) * 512 };
}

/** Hex SHA-256 of a file. @throws CoppiceError `layer_missing` */
export async function fileSha256(file: string, locator: string): Promise<string> {
  await requireFile(file, locator);
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(1024 * 1024);
  const handle = await open(file, 'r');
  try {
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, null);
      if (bytesRead === 0) return hash.digest('hex');
      hash.update(buffer.subarray(0, bytesRead));
    }
  } finally {
    await handle.close();
  }
}

/** Bytes of the file system that holds `directory`, as far as an ordinary user may fill it. */
export async function fileSystemSpace(directory: string): Promise<StorageSpace> {
  const { bavail, blocks, bsize } = await statfs(directory);
  return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
}
