/**
 * Entries of directories that are held open. Node has no openat: the descriptor's path in /proc does the same, and
 * what is put in the way meanwhile leads nowhere else.
 */
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;

/** What to give to the system for an entry; good while the directory is open. */
export function entryOf(directory: FileHandle, name: string): string {
  return `/proc/self/fd/${String(directory.fd)}/${name}`;
}

/** Follows links: for a directory that the host's owner has named. */
export function openDirectory(path: string): Promise<FileHandle> {
  return open(path, O_RDONLY | O_DIRECTORY);
}

/** Follows no link; a link is ENOTDIR. */
export function openDirectoryIn(directory: FileHandle, name: string): Promise<FileHandle> {
  return open(entryOf(directory, name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}
