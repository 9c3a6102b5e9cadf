/** What lies in a folder of the vault. Takes away the leftovers of crashes that it meets. */
import { lstat, readdir, unlink } from 'node:fs/promises';
import { CoppiceError } from '../../protocol/errors.ts';
import { inChild, inDirectory, type Directory } from './beneath.ts';
import { errnoOf, explained, vaultError } from './errors.ts';
import { stampOf } from './noteFile.ts';
import { comparePaths, isExcluded, join } from './paths.ts';
import { isLeftover, isTemporary } from './temporary.ts';

/** A regular file; links and special files are not shown. */
export interface FoundFile {
  readonly path: string;
  readonly bytes: number;
  readonly stamp: string;
  /** Milliseconds since the epoch; of content, and of anything about it. */
  readonly modified: number;
  readonly changed: number;
}

export interface Found {
  /** Sorted by path, both. */
  readonly files: readonly FoundFile[];
  readonly folders: readonly string[];
}

export interface WalkOptions {
  readonly excluded: readonly string[];
  readonly recursive: boolean;
}

const maxEntries = 200_000;
const maxDepth = 100;
/** Calls to the file system at the same time. */
const batch = 32;

/** @throws CoppiceError `file_not_found` and `vault_error` about the folder itself */
export async function walk(root: string, folder: string, options: WalkOptions): Promise<Found> {
  const found = { files: [] as FoundFile[], folders: [] as string[] };
  await inDirectory(root, folder, {}, (directory) => visit(directory, 0));
  found.files.sort((a, b) => comparePaths(a.path, b.path));
  found.folders.sort(comparePaths);
  return found;

  async function visit(directory: Directory, depth: number): Promise<void> {
    const { names, children } = await entriesOf(directory, options.excluded);
    for (let at = 0; at < names.length; at += batch) {
      const part = names.slice(at, at + batch);
      const files = await Promise.all(part.map((name) => look(directory, name)));
      found.files.push(...files.filter((file) => file !== undefined));
    }
    found.folders.push(...children.map((name) => join(directory.path, name)));
    if (found.files.length + found.folders.length > maxEntries) {
      throw vaultError(
        `There are more than ${String(maxEntries)} files here.`,
        'Look into a smaller folder, or exclude some (vault.exclude_dirs).',
      );
    }
    if (!options.recursive || depth >= maxDepth) return;
    for (const name of children) await visitChild(directory, name, depth + 1);
  }

  async function visitChild(directory: Directory, name: string, depth: number): Promise<void> {
    try {
      await inChild(directory, name, (child) => visit(child, depth));
    } catch (error) {
      // It went away meanwhile, became something else, or is closed to the daemon.
      if (error instanceof CoppiceError && skipped.has(error.code)) return;
      throw error;
    }
  }
}

const skipped = new Set<string>(['file_not_found', 'permission_denied']);

async function entriesOf(
  directory: Directory,
  excluded: readonly string[],
): Promise<{ readonly names: readonly string[]; readonly children: readonly string[] }> {
  try {
    const entries = await readdir(directory.entry('.'), { withFileTypes: true });
    return {
      names: entries.filter((entry) => entry.isFile()).map(({ name }) => name),
      children: entries
        .filter((entry) => entry.isDirectory() && !isExcluded(excluded, entry.name))
        .map(({ name }) => name),
    };
  } catch (error) {
    throw explained(error, directory.path);
  }
}

async function look(directory: Directory, name: string): Promise<FoundFile | undefined> {
  const entry = directory.entry(name);
  try {
    const info = await lstat(entry, { bigint: true });
    const changed = Number(info.ctimeMs);
    if (isTemporary(name)) {
      if (isLeftover(name, Date.now() - changed)) await unlink(entry);
      return undefined;
    }
    if (!info.isFile()) return undefined;
    return {
      path: join(directory.path, name),
      bytes: Number(info.size),
      stamp: stampOf(info),
      modified: Number(info.mtimeMs),
      changed,
    };
  } catch (error) {
    if (errnoOf(error) === '') throw error;
    return undefined;
  }
}
