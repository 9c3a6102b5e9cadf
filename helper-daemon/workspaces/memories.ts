/**
 * Memory images: those in files, named by rows, and those that are in the host's memory now. An image stays
 * loaded while somebody uses it, and a little longer while there is room: loading costs a tenth of a second.
 */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { CoppiceError } from '../../protocol/errors.ts';
import type { Engine, MemoryImage } from '../engine/machine.ts';
import type { MemoryRecord, TreeStore } from '../store/treeStore.ts';
import { makeDirectory } from '../system/directory.ts';
import { directoryMode, type HostPaths } from '../system/paths.ts';

/** Memory that a machine can continue from, and the key the guest in it answers to. */
export interface LoadedMemory {
  readonly image: MemoryImage;
  readonly channelKey: string;
  /** Kernel and agent in it. */
  readonly guest: Readonly<Record<string, string>>;
}

export interface Memories {
  /** Where the file of a memory image is. */
  file(id: string): string;
  /**
   * Writes an image to its file and returns the row to store. The file has no owner until that row is there.
   * @throws CoppiceError `no_space`
   */
  save(memory: LoadedMemory): Promise<MemoryRecord>;
  /**
   * Runs `work` with the image loaded.
   * @throws CoppiceError `memory_missing`, `memory_corrupt`, `no_memory`
   */
  use<T>(id: string, work: (memory: LoadedMemory) => Promise<T>): Promise<T>;
  /** Keeps an image that was just captured loaded, for whoever asks for it next. */
  remember(memory: LoadedMemory): void;
  isLoaded(id: string): boolean;
  /** Host memory that loaded images take, in bytes. */
  loadedBytes(): number;
  /** Lets go of an image; its file goes too. */
  remove(id: string): Promise<void>;
  setBudget(bytes: number): void;
  close(): void;
}

interface Entry {
  readonly memory: Promise<LoadedMemory>;
  loaded?: LoadedMemory;
  users: number;
  /** Removed while in use: let go of by the last user. */
  doomed?: true;
  usedAt: number;
}

export interface MemoriesOptions {
  readonly paths: HostPaths;
  readonly tree: Pick<TreeStore, 'memory'>;
  readonly engine: Pick<Engine, 'loadMemory'>;
  readonly now: () => Date;
}

export function memoryDirectory(paths: HostPaths): string {
  return path.join(paths.state, 'memory');
}

export function memories(options: MemoriesOptions): Memories {
  const entries = new Map<string, Entry>();
  let budget = 512 * 1024 ** 2;
  let clock = 0;
  const fileOf = (id: string): string => path.join(memoryDirectory(options.paths), `${id}.memory`);

  function load(id: string): Entry {
    const record = options.tree.memory(id);
    if (record === undefined) {
      throw new CoppiceError({
        code: 'memory_missing',
        message: `The memory image ${id} is not known any more.`,
        next: 'Restore or fork without memory: --boot.',
      });
    }
    const memory = options.engine
      .loadMemory(fileOf(id), { id, sha256: record.sha256 })
      .then((image) => ({
        image,
        channelKey: record.channelKey,
        guest: withoutKeys(record.binding, Object.keys(image.binding)),
      }));
    return keep(id, memory);
  }

  function keep(id: string, memory: Promise<LoadedMemory>): Entry {
    const entry: Entry = { memory, users: 0, usedAt: (clock += 1) };
    entries.set(id, entry);
    memory.then(
      (loaded) => {
        entry.loaded = loaded;
      },
      () => {
        if (entries.get(id) === entry) entries.delete(id);
      },
    );
    return entry;
  }

  function loadedBytes(): number {
    let sum = 0;
    for (const { loaded } of entries.values()) sum += loaded?.image.residentBytes ?? 0;
    return sum;
  }

  /** The least recently used go first; those in use stay whatever they take. */
  function shrink(): void {
    const idle = [...entries].filter(
      ([, entry]) => entry.users === 0 && entry.loaded !== undefined,
    );
    idle.sort(([, a], [, b]) => a.usedAt - b.usedAt);
    for (const [id, entry] of idle) {
      if (loadedBytes() <= budget) return;
      entries.delete(id);
      entry.loaded?.image.release();
    }
  }

  return {
    file: fileOf,
    async save({ image, channelKey, guest }) {
      const directory = memoryDirectory(options.paths);
      await makeDirectory(directory, directoryMode(options.paths.mode));
      const { sha256, bytes } = await image.save(fileOf(image.id));
      return {
        id: image.id,
        binding: { ...image.binding, ...guest },
        channelKey,
        memoryMb: image.memoryMb,
        sha256,
        bytes,
        createdAt: options.now().toISOString(),
      };
    },
    async use(id, work) {
      const entry = entries.get(id) ?? load(id);
      entry.users += 1;
      entry.usedAt = clock += 1;
      try {
        return await work(await entry.memory);
      } finally {
        entry.users -= 1;
        if (entry.doomed === true && entry.users === 0) entry.loaded?.image.release();
        shrink();
      }
    },
    remember(memory) {
      keep(memory.image.id, Promise.resolve(memory)).loaded = memory;
      shrink();
    },
    isLoaded: (id) => entries.get(id)?.loaded !== undefined,
    loadedBytes,
    async remove(id) {
      const entry = entries.get(id);
      entries.delete(id);
      if (entry !== undefined && entry.users > 0) entry.doomed = true;
      else entry?.memory.then(({ image }) => image.release()).catch(() => undefined);
      await rm(fileOf(id), { force: true });
    },
    setBudget(bytes) {
      budget = bytes;
      shrink();
    },
    close() {
      for (const { loaded } of entries.values()) loaded?.image.release();
      entries.clear();
    },
  };
}

/** Refuses memory that only continues on something else. @throws CoppiceError `snapshot_incompatible` */
export function requireCompatible(
  what: string,
  mismatch: { readonly what: string; readonly was: string; readonly is: string } | undefined,
): void {
  if (mismatch === undefined) return;
  throw new CoppiceError({
    code: 'snapshot_incompatible',
    message: `The memory of ${what} only continues on what it was taken on: ${mismatch.what} was ${mismatch.was} and is ${mismatch.is} now.`,
    next: 'Its disk is whole: give up the memory and boot from the disk with --boot (boot: true).',
    details: { ...mismatch },
  });
}

/** What the row knows beyond the image: the guest's versions. */
function withoutKeys(
  binding: Readonly<Record<string, string>>,
  keys: readonly string[],
): Record<string, string> {
  return Object.fromEntries(Object.entries(binding).filter(([key]) => !keys.includes(key)));
}
