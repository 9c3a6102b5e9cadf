/** Disks of test beds: made as the daemon makes them, written and read as machines do. */
import { execFile } from 'node:child_process';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { chmod, readFile, rename } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'vitest';
import { CoppiceError } from '../../../protocol/errors.ts';
import type { BaseImage, Locator, StorageBackend } from '../../../helper-daemon/storage/backend.ts';

export interface StorageBed {
  /** A new object over the same storage, as after a restart of the daemon. */
  open(): StorageBackend;
  /** A directory for archives; on the storage's own file system where it has one. */
  readonly work: string;
  /** Directory in which the catalogue keeps image files. */
  readonly images: string;
  /** Takes all room that is left. */
  fill(): Promise<void>;
  /** Gives it back. */
  drain(): Promise<void>;
  close(): Promise<void>;
}

export const exec = promisify(execFile);
export const mib = 1024 * 1024;
export const diskBytes = 48 * mib;
export const imageBytes = 32 * mib;

/** Writes bytes of `fill` as a machine would. */
export async function write(
  storage: StorageBackend,
  head: Locator,
  fill: number,
  at: number,
  length: number,
): Promise<void> {
  const { path: file, format } = await storage.disk(head);
  const command = `write -P ${String(fill)} ${String(at)} ${String(length)}`;
  await exec('qemu-io', ['-f', format, '-c', command, '-c', 'flush', file]);
}

/** Fails where the disk holds anything but bytes of `fill`. */
export async function expectBytes(
  storage: StorageBackend,
  head: Locator,
  fill: number,
  at: number,
  length: number,
): Promise<void> {
  const { path: file, format } = await storage.disk(head);
  const command = `read -P ${String(fill)} ${String(at)} ${String(length)}`;
  const { stdout } = await exec('qemu-io', ['-f', format, '-c', command, file]).catch(
    (error: unknown) => error as { stdout: string },
  );
  expect(stdout).toContain(`read ${String(length)}/${String(length)} bytes`);
  expect(stdout).not.toContain('verification failed');
}

/** An image of the catalogue: 32 MiB of which the first MiB holds 0x11. */
export async function makeImage(directory: string): Promise<BaseImage> {
  return await imageOf(directory, ['write -P 0x11 0 1M']);
}

/** Another image than every one before: its first MiB holds 0x77. */
export async function makeFreshImage(directory: string): Promise<BaseImage> {
  const noise = randomBytes(4).toJSON().data;
  const writes = noise.map((fill, at) => `write -P ${String(fill)} ${String(16 + at)}M 64k`);
  return await imageOf(directory, ['write -P 0x77 0 1M', ...writes]);
}

async function imageOf(directory: string, commands: readonly string[]): Promise<BaseImage> {
  const made = path.join(directory, `made-${randomUUID()}`);
  await exec('qemu-img', ['create', '-q', '-f', 'qcow2', made, String(imageBytes)]);
  const words = commands.flatMap((command) => ['-c', command]);
  await exec('qemu-io', ['-f', 'qcow2', ...words, made]);
  const bytes = await readFile(made);
  const hex = createHash('sha256').update(bytes).digest('hex');
  const file = path.join(directory, `${hex}.qcow2`);
  await chmod(made, 0o444);
  await rename(made, file);
  return { kind: 'image', path: file, digest: `sha256:${hex}`, virtualBytes: imageBytes };
}

export async function freeze(
  storage: StorageBackend,
  head: Locator,
): Promise<{ layer: Locator; head: Locator }> {
  const prepared = await storage.prepareFreeze({
    head,
    layerId: randomUUID(),
    nextHeadId: randomUUID(),
  });
  await prepared.commit();
  await prepared.settle();
  return { layer: prepared.layer, head: prepared.nextHead };
}

/** The code of the error that `work` ends with, or `done`. */
export async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'done';
  } catch (error) {
    return error instanceof CoppiceError ? error.code : `not ours: ${String(error)}`;
  }
}
