/**
 * Which storage new workspaces get. Workspaces made with another one keep theirs, so every storage is looked
 * up by the name that is in the workspace's record.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import * as z from 'zod';
import { CoppiceError } from '../../protocol/errors.ts';
import type { StorageBackend, StorageName } from './backend.ts';
import { syncPath } from './diskFiles.ts';
import { qcow2Storage } from './qcow2.ts';
import { reflinkStorage, requireReflink } from './reflink.ts';
import { errnoOf } from './storageErrors.ts';
import { zfsStorage } from './zfs.ts';
import { readZfsPlace } from './zfs/initZfs.ts';
import { zfsPrograms, type ZfsPrograms } from './zfs/zfsCommand.ts';

const storageNames = ['qcow2', 'zfs', 'reflink'] as const satisfies readonly StorageName[];

const storageChoice = z.strictObject({
  backend: z.enum(storageNames),
  zfs: z.strictObject({ pool: z.string(), prefix: z.string() }).optional(),
});

/** Content of `<state>/storage.json`; absent, it is qcow2. */
export type StorageChoice = z.infer<typeof storageChoice>;

export interface Storages {
  /** What new workspaces get. */
  readonly chosen: StorageName;
  /**
   * Opens a storage at its first use.
   * @throws CoppiceError `prerequisite_missing` when it is not there, for example a pool that is not imported
   */
  get(name: StorageName): Promise<StorageBackend>;
}

export interface StoragesOptions {
  readonly state: string;
  /** Where the catalogue keeps its files; default `<state>/images`. */
  readonly images?: string;
  /** COPPICE_STORAGE names the storage of new workspaces, whatever the file says. */
  readonly env?: NodeJS.ProcessEnv;
  readonly programs?: ZfsPrograms;
}

/** @throws CoppiceError `invalid_input` for a file or a COPPICE_STORAGE that cannot be understood */
export async function openStorages(options: StoragesOptions): Promise<Storages> {
  const { state, images, env = process.env } = options;
  const choice = await readStorageChoice(state);
  const opened = new Map<StorageName, Promise<StorageBackend>>();

  async function open(name: StorageName): Promise<StorageBackend> {
    if (name === 'qcow2') {
      return qcow2Storage({ state, ...(images === undefined ? {} : { images }) });
    }
    if (name === 'reflink') {
      await requireReflink(state);
      return reflinkStorage({ state });
    }
    if (choice.zfs === undefined) throw notSetUp();
    const programs = options.programs ?? zfsPrograms;
    return zfsStorage({ ...(await readZfsPlace(choice.zfs, programs)), programs });
  }

  return {
    chosen: namedByEnvironment(env) ?? choice.backend,
    async get(name) {
      const known = opened.get(name);
      if (known !== undefined) return await known;
      const opening = open(name);
      opened.set(name, opening);
      // What failed is tried again: the pool may be imported by then.
      opening.catch(() => opened.delete(name));
      return await opening;
    },
  };
}

/** @throws CoppiceError `invalid_input` */
export async function readStorageChoice(state: string): Promise<StorageChoice> {
  const file = choiceFile(state);
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return { backend: 'qcow2' };
  try {
    return storageChoice.parse(JSON.parse(text));
  } catch (error) {
    throw new CoppiceError(
      {
        code: 'invalid_input',
        message: `${file} does not say which storage to use in a way that can be understood.`,
        next: 'Set the storage up again, or remove the file to use qcow2 for new workspaces.',
        details: { file },
      },
      { cause: error },
    );
  }
}

/**
 * Makes `choice` the storage of new workspaces. A pool named before stays known, for the workspaces in it.
 * @throws CoppiceError `wrong_state` when another pool is named already
 */
export async function chooseStorage(state: string, choice: StorageChoice): Promise<void> {
  const { zfs: before } = await readStorageChoice(state);
  const { zfs: now = before } = choice;
  if (before !== undefined && now !== undefined) {
    if (before.pool !== now.pool || before.prefix !== now.prefix) {
      throw new CoppiceError({
        code: 'wrong_state',
        message: `Workspaces may be in ${before.pool}/${before.prefix}; there can be one such place.`,
        next: `If none is, remove "zfs" from ${choiceFile(state)} first.`,
      });
    }
  }
  if (choice.backend === 'zfs' && now === undefined) throw notSetUp();
  const file = choiceFile(state);
  const part = `${file}.${randomBytes(6).toString('hex')}.part`;
  await mkdir(state, { recursive: true });
  try {
    const content = { backend: choice.backend, ...(now === undefined ? {} : { zfs: now }) };
    await writeFile(part, `${JSON.stringify(content, undefined, 2)}\n`, { mode: 0o600 });
    await syncPath(part);
    await rename(part, file);
    await syncPath(state);
  } finally {
    await rm(part, { force: true });
  }
}

function choiceFile(state: string): string {
  return path.join(state, 'storage.json');
}

function namedByEnvironment(env: NodeJS.ProcessEnv): StorageName | undefined {
  const name = env['COPPICE_STORAGE'];
  if (name === undefined || name === '') return undefined;
  const known = storageNames.find((each) => each === name);
  if (known !== undefined) return known;
  throw new CoppiceError({
    code: 'invalid_input',
    message: `COPPICE_STORAGE names no storage: ${JSON.stringify(name.slice(0, 64))}.`,
    next: `Storages: ${storageNames.join(', ')}.`,
  });
}

function notSetUp(): CoppiceError {
  return new CoppiceError({
    code: 'prerequisite_missing',
    message: 'The ZFS storage is not set up: no pool is named.',
    next: 'Set it up first: coppice storage init zfs.',
  });
}
