/**
 * Directories of the vault, opened component by component and held by descriptor. Each step starts from the
 * descriptor of the one before (system/beneath.ts) and follows no symbolic link, so nothing that is or is put on
 * the way while we work can lead out of the vault.
 */
import { lstat, mkdir, type FileHandle } from 'node:fs/promises';
import { entryOf, openDirectory, openDirectoryIn } from '../system/beneath.ts';
import { errnoOf, explained, symbolicLink, vaultMissing } from './errors.ts';
import { join } from './paths.ts';

/** A directory that is open. */
export interface Directory {
  readonly handle: FileHandle;
  /** Its path in the vault. */
  readonly path: string;
  /** What to give to the system for an entry; good while the directory is open. */
  entry(name: string): string;
}

export interface OpenOptions {
  /** Make what is missing. */
  readonly create?: boolean;
}

/**
 * Runs `work` in a directory of the vault.
 * @param root the vault's directory on the host; may itself be reached through links
 * @throws CoppiceError `file_not_found`, `vault_error`; `wrong_state` when there is no vault
 */
export async function inDirectory<T>(
  root: string,
  path: string,
  options: OpenOptions,
  work: (directory: Directory) => Promise<T>,
): Promise<T> {
  let current = await openRoot(root);
  try {
    for (const part of path.split('/').filter((name) => name !== '')) {
      const next = await openChild(current, part, options);
      await current.handle.close();
      current = next;
    }
    return await work(current);
  } finally {
    await current.handle.close();
  }
}

/**
 * Runs `work` in a directory within one that is open.
 * @throws CoppiceError `file_not_found`, `vault_error`
 */
export async function inChild<T>(
  parent: Directory,
  name: string,
  work: (directory: Directory) => Promise<T>,
): Promise<T> {
  const child = await openChild(parent, name, {});
  try {
    return await work(child);
  } finally {
    await child.handle.close();
  }
}

async function openRoot(root: string): Promise<Directory> {
  try {
    return directory(await openDirectory(root), '');
  } catch (error) {
    throw vaultMissing(root, error);
  }
}

async function openChild(
  parent: Directory,
  name: string,
  { create = false }: OpenOptions,
): Promise<Directory> {
  const path = join(parent.path, name);
  const entry = parent.entry(name);
  try {
    if (create) await makeMissing(entry);
    return directory(await openDirectoryIn(parent.handle, name), path);
  } catch (error) {
    // A link is "not a directory" to the system, too; its owner should be told which it is.
    if (errnoOf(error) === 'ENOTDIR' && (await isLink(entry))) throw symbolicLink(path);
    throw explained(error, path);
  }
}

function directory(handle: FileHandle, path: string): Directory {
  return { handle, path, entry: (name) => entryOf(handle, name) };
}

async function makeMissing(entry: string): Promise<void> {
  try {
    await mkdir(entry);
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
  }
}

async function isLink(entry: string): Promise<boolean> {
  try {
    return (await lstat(entry)).isSymbolicLink();
  } catch {
    return false;
  }
}
