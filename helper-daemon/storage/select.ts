/**
 * The storages of a daemon. New workspaces get the chosen one; those made with another one keep theirs, so
 * every storage that may hold disks is opened and looked up by the name in the workspace's record.
 */
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { asCoppiceError, CoppiceError } from '../../protocol/errors.ts';
import type { OutputOf, ParsedInputOf } from '../../protocol/operations.ts';
import type { StorageBackend, StorageName } from './backend.ts';
import { readStorageChoice, storageOfEnvironment, writeStorageChoice } from './choice.ts';
import { setUpStorage } from './setUp.ts';
import { qcow2Storage } from './qcow2.ts';
import { reflinkStorage, requireReflink } from './reflink.ts';
import { zfsStorage } from './zfs.ts';
import { readZfsPlace } from './zfs/initZfs.ts';
import { zfsPrograms, type ZfsPrograms } from './zfs/zfsCommand.ts';

export interface OpenStorages {
  /** Where new workspaces go. @throws CoppiceError `prerequisite_missing` */
  default(): StorageBackend;
  /** @throws CoppiceError `prerequisite_missing` when it is not there, for example a pool not imported */
  named(name: StorageName): StorageBackend;
  /** Those that may hold disks and are there. */
  inUse(): readonly StorageBackend[];
  /** Sets a storage up and chooses it. @throws CoppiceError see storage_init in protocol/ */
  init(
    input: ParsedInputOf<'storage_init'>,
    progress: (message: string) => void,
  ): Promise<OutputOf<'storage_init'>>;
}

export interface StoragesOptions {
  readonly state: string;
  /** Where the catalogue keeps its files; default `<state>/images`. */
  readonly images?: string;
  /** COPPICE_STORAGE names the storage of new workspaces, whatever was chosen. */
  readonly env?: NodeJS.ProcessEnv;
  readonly programs?: ZfsPrograms;
}

/** @throws CoppiceError `invalid_input` for a file or a COPPICE_STORAGE that cannot be understood */
export async function openStorages(options: StoragesOptions): Promise<OpenStorages> {
  const { state, images, env = process.env, programs = zfsPrograms } = options;
  const forced = storageOfEnvironment(env);
  let choice = await readStorageChoice(state);
  const opened = new Map<StorageName, StorageBackend>();
  const failures = new Map<StorageName, CoppiceError>();

  async function open(name: StorageName): Promise<StorageBackend> {
    if (name === 'qcow2') {
      return qcow2Storage({ state, ...(images === undefined ? {} : { images }) });
    }
    if (name === 'reflink') {
      await requireReflink(state);
      return reflinkStorage({ state });
    }
    if (choice.zfs === undefined) throw notSetUp();
    return zfsStorage({ ...(await readZfsPlace(choice.zfs, programs)), programs });
  }

  /** Keeps what can be opened, or why it cannot. */
  async function tryOpen(name: StorageName): Promise<void> {
    try {
      opened.set(name, await open(name));
      failures.delete(name);
    } catch (error) {
      failures.set(name, asCoppiceError(error));
    }
  }

  function named(name: StorageName): StorageBackend {
    const storage = opened.get(name);
    if (storage !== undefined) return storage;
    // For the next caller: the pool may have been imported since.
    void tryOpen(name);
    throw failures.get(name) ?? notSetUp();
  }

  await tryOpen('qcow2');
  const chosen = forced ?? choice.backend;
  if (chosen === 'reflink' || (await hasRawDisks(state))) await tryOpen('reflink');
  if (chosen === 'zfs' || choice.zfs !== undefined) await tryOpen('zfs');

  return {
    default: () => named(forced ?? choice.backend),
    named,
    inUse: () => [...opened.values()],
    async init(input, progress) {
      const { choice: wanted, steps } = await setUpStorage(state, input, { programs, progress });
      choice = await writeStorageChoice(state, wanted);
      await tryOpen(choice.backend);
      const { location } = named(choice.backend);
      if (forced !== undefined && forced !== choice.backend) {
        steps.push(`COPPICE_STORAGE still makes this daemon use ${forced}`);
      }
      return { backend: choice.backend, location, steps };
    },
  };
}

async function hasRawDisks(state: string): Promise<boolean> {
  const names = await readdir(path.join(state, 'disks')).catch(() => []);
  return names.some((name) => name.endsWith('.raw'));
}

function notSetUp(): CoppiceError {
  return new CoppiceError({
    code: 'prerequisite_missing',
    message: 'This storage is not set up.',
    next: 'Set it up first: coppice init zfs --pool POOL, or coppice init reflink.',
  });
}
