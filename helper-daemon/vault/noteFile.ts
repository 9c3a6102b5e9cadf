/** The files of notes: reading them in one piece, replacing them in one step. */
import { constants, type BigIntStats } from 'node:fs';
import { lstat, open, rename, unlink, type FileHandle } from 'node:fs/promises';
import { vaultLimits } from '../../protocol/operations/vault.ts';
import type { Directory } from './beneath.ts';
import { changedMeanwhile, errnoOf, explained, notANote, noteTooLarge } from './errors.ts';
import { join } from './paths.ts';
import { takeTemporaryName } from './temporary.ts';

const { O_RDONLY, O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = constants;

/** A note as it was on disk. */
export interface NoteFile {
  readonly bytes: Buffer;
  /** Differs when the file is another or was written to since. */
  readonly stamp: string;
  readonly info: BigIntStats;
}

export function stampOf({ ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return `${ino.toString(36)}.${size.toString(36)}.${mtimeNs.toString(36)}.${ctimeNs.toString(36)}`;
}

/** @throws CoppiceError `file_not_found`, `vault_error`, `limit_exceeded`, `permission_denied` */
export async function readNoteFile(directory: Directory, name: string): Promise<NoteFile> {
  const path = join(directory.path, name);
  let handle: FileHandle | undefined;
  try {
    // Without waiting: opening a named pipe would, until somebody writes to it.
    handle = await open(directory.entry(name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    const info = await handle.stat({ bigint: true });
    if (info.isDirectory()) throw notANote(path, 'a folder');
    if (!info.isFile()) throw notANote(path, 'a special file');
    if (info.size > vaultLimits.noteBytes) throw noteTooLarge(path, Number(info.size));
    return { bytes: await readAll(handle, path), stamp: stampOf(info), info };
  } catch (error) {
    throw explained(error, path);
  } finally {
    await handle?.close();
  }
}

/** A file that grows under our eyes must not fill the memory. */
async function readAll(handle: FileHandle, path: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for (;;) {
    const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(64 * 1024), 0, 64 * 1024);
    if (bytesRead === 0) return Buffer.concat(chunks, size);
    chunks.push(buffer.subarray(0, bytesRead));
    size += bytesRead;
    if (size > vaultLimits.noteBytes) throw noteTooLarge(path, size);
  }
}

/**
 * Puts a note in the place of `former`: it is there as a whole or not at all, also after a crash or a loss of
 * power. Owner and mode of the former file stay.
 * @param former null: there must be none
 * @throws CoppiceError `busy` when the file on disk is not `former` any more
 */
export async function replaceNoteFile(
  directory: Directory,
  name: string,
  bytes: Buffer,
  former: NoteFile | null,
): Promise<void> {
  const path = join(directory.path, name);
  const temporary = takeTemporaryName();
  const entry = directory.entry(temporary.name);
  try {
    const handle = await open(entry, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o666);
    try {
      await keepOwner(handle, directory, former?.info);
      await handle.writeFile(bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    if ((await stampNow(directory, name)) !== (former?.stamp ?? null)) throw changedMeanwhile(path);
    await rename(entry, directory.entry(name));
    await directory.handle.sync();
  } catch (error) {
    await unlink(entry).catch(() => undefined);
    throw explained(error, path);
  } finally {
    temporary.release();
  }
}

/** A daemon that runs as root must not take people's notes away from them. */
async function keepOwner(
  handle: FileHandle,
  directory: Directory,
  former: BigIntStats | undefined,
): Promise<void> {
  if (former !== undefined) await handle.chmod(Number(former.mode) & 0o777);
  if (process.getuid?.() !== 0) return;
  const owner = former ?? (await directory.handle.stat());
  await handle.chown(Number(owner.uid), Number(owner.gid));
}

/** Null: there is no such file. @throws CoppiceError `vault_error` when it is something else */
export async function stampNow(directory: Directory, name: string): Promise<string | null> {
  const path = join(directory.path, name);
  try {
    const info = await lstat(directory.entry(name), { bigint: true });
    if (info.isFile()) return stampOf(info);
    if (info.isSymbolicLink()) throw Object.assign(new Error(), { code: 'ELOOP' });
    throw notANote(path, info.isDirectory() ? 'a folder' : 'a special file');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw explained(error, path);
  }
}

/** @throws CoppiceError `file_not_found`, `permission_denied` */
export async function removeNoteFile(directory: Directory, name: string): Promise<void> {
  try {
    await unlink(directory.entry(name));
    await directory.handle.sync();
  } catch (error) {
    throw explained(error, join(directory.path, name));
  }
}

/** Replaces what is there. @throws CoppiceError */
export async function renameNoteFile(
  from: readonly [Directory, string],
  to: readonly [Directory, string],
): Promise<void> {
  const [source, name] = from;
  const [target, newName] = to;
  try {
    await rename(source.entry(name), target.entry(newName));
    await target.handle.sync();
    if (source.path !== target.path) await source.handle.sync();
  } catch (error) {
    throw explained(error, join(source.path, name));
  }
}
