/**
 * The one directory of the host whose files callers may move. Its paths are opened component by component and no
 * link is followed, so nothing that is put into it leads out of it, whenever it is put there.
 */
import { createHash, randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import fs, { type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { CoppiceError, type ErrorCode } from '../../../protocol/errors.ts';
import { entryOf, openDirectory, openDirectoryIn } from '../../system/beneath.ts';
import { makeDirectory } from '../../system/directory.ts';
import type { HostPaths } from '../../system/paths.ts';
import type { Caller } from '../../workspaces/callers.ts';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;

export interface SourceFile {
  readonly path: string;
  readonly handle: FileHandle;
  readonly size: number;
  /** Permission bits. */
  readonly mode: number;
}

export interface ArrivingFile {
  readonly path: string;
  readonly handle: FileHandle;
  /** Flushes it and gives it its name, in place of what has that name. */
  keep(mode: number): Promise<void>;
  /** Takes away what was not kept. */
  dispose(): Promise<void>;
}

export interface TransferDirectory {
  /** Opens a regular file to read; close it. @throws CoppiceError with `details.side` `host` */
  source(caller: Caller, hostPath: string): Promise<SourceFile>;
  /** A new file that will get this name; its directory must exist. @throws as source */
  arriving(caller: Caller, hostPath: string): Promise<ArrivingFile>;
}

/** @param configured null: `transfers` in the state directory */
export function transferDirectory(paths: HostPaths, configured: string | null): TransferDirectory {
  const base = configured ?? path.join(paths.state, 'transfers');
  // Several daemons may be given one directory; each clears only what is its own.
  const mark = createHash('sha256').update(paths.state).digest('hex').slice(0, 8);
  const partial = path.join(base, `.coppice-partial-${mark}`);
  let ready: Promise<void> | undefined;

  /** What a daemon that was killed has left unfinished goes first. */
  async function prepare(): Promise<void> {
    if (configured === null) await makeDirectory(base, paths.mode === 'system' ? 0o711 : 0o700);
    else await fs.mkdir(base, { recursive: true, mode: 0o700 });
    await fs.rm(partial, { recursive: true, force: true });
    await makeDirectory(partial, 0o700);
  }

  /** In system mode each user has a directory in it, which nobody else can read. */
  async function rootOf(caller: Caller): Promise<string> {
    ready ??= prepare().catch((error: unknown) => {
      ready = undefined;
      throw hostError(error, base);
    });
    await ready;
    if (!isShared(caller)) return base;
    const own = path.join(base, String(caller.uid));
    await makeDirectory(own, 0o700);
    await fs.chown(own, caller.uid, (await fs.stat(own)).gid);
    return own;
  }

  function isShared(caller: Caller): boolean {
    return paths.mode === 'system' && caller.uid !== 0;
  }

  /** The directory that holds the file, and the file's name in it. */
  async function placeOf(caller: Caller, hostPath: string) {
    const root = await rootOf(caller);
    const absolute = path.resolve(root, hostPath);
    const parts = path.relative(root, absolute).split(path.sep);
    const name = parts.pop() ?? '';
    if (name === '' || name === '..' || parts[0] === '..') {
      throw new CoppiceError({
        code: 'permission_denied',
        message: `${hostPath} is not a file below the transfer directory ${root}.`,
        next: `Give a path relative to it, or one that begins with ${root}/.`,
        details: { side: 'host', transfer_dir: root },
      });
    }
    return { absolute, name, directory: await openBeneath(root, parts) };
  }

  return {
    async source(caller, hostPath) {
      const { absolute, name, directory } = await placeOf(caller, hostPath);
      let handle: FileHandle | undefined;
      try {
        // Opening a FIFO must not wait for a writer.
        handle = await fs.open(entryOf(directory, name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
        const stat = await handle.stat();
        if (!stat.isFile()) throw notAFile(absolute);
        // A hard link to what its maker cannot read himself.
        if (isShared(caller) && stat.uid !== caller.uid) throw notTheirs(absolute);
        return { path: absolute, handle, size: stat.size, mode: stat.mode & 0o777 };
      } catch (error) {
        await handle?.close();
        throw hostError(error, absolute);
      } finally {
        await directory.close();
      }
    },
    async arriving(caller, hostPath) {
      const { absolute, name, directory } = await placeOf(caller, hostPath);
      const temporary = path.join(partial, randomUUID());
      try {
        const handle = await fs.open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
        return {
          path: absolute,
          handle,
          async keep(mode) {
            try {
              if (isShared(caller)) await handle.chown(caller.uid, (await directory.stat()).gid);
              await handle.chmod((mode & 0o755) | 0o600);
              await handle.sync();
              await fs.rename(temporary, entryOf(directory, name));
            } catch (error) {
              throw hostError(error, absolute);
            }
          },
          async dispose() {
            await handle.close();
            await directory.close();
            await fs.rm(temporary, { force: true });
          },
        };
      } catch (error) {
        await directory.close();
        throw hostError(error, absolute);
      }
    },
  };
}

async function openBeneath(root: string, parts: readonly string[]): Promise<FileHandle> {
  let handle = await openDirectory(root).catch((error: unknown) => {
    throw hostError(error, root);
  });
  for (const [index, part] of parts.entries()) {
    try {
      const next = await openDirectoryIn(handle, part);
      await handle.close();
      handle = next;
    } catch (error) {
      await handle.close();
      throw hostError(error, path.join(root, ...parts.slice(0, index + 1)));
    }
  }
  return handle;
}

const codes: Readonly<Record<string, { readonly code: ErrorCode; readonly text: string }>> = {
  ENOENT: { code: 'file_not_found', text: 'does not exist' },
  ENOTDIR: { code: 'file_error', text: 'is not a directory (links are not followed)' },
  ELOOP: { code: 'file_error', text: 'is a symbolic link, and links are not followed' },
  EISDIR: { code: 'file_error', text: 'is a directory' },
  ENOTEMPTY: { code: 'file_error', text: 'is a directory' },
  EACCES: { code: 'permission_denied', text: 'cannot be used by Coppice' },
  EPERM: { code: 'permission_denied', text: 'cannot be used by Coppice' },
  ENOSPC: { code: 'no_space', text: 'does not fit: the disk is full' },
  EDQUOT: { code: 'no_space', text: 'does not fit into the quota' },
};

/** What went wrong on this host, as opposed to in the machine. */
export function hostError(error: unknown, file: string): CoppiceError {
  if (error instanceof CoppiceError) return error;
  const { code = '', message } = error as NodeJS.ErrnoException;
  const known = codes[code];
  return new CoppiceError(
    {
      code: known?.code ?? 'file_error',
      message: `On this host ${file} ${known?.text ?? `failed: ${message}`}.`,
      details: { side: 'host', path: file },
    },
    { cause: error },
  );
}

function notAFile(file: string): CoppiceError {
  return new CoppiceError({
    code: 'file_error',
    message: `On this host ${file} is not a regular file.`,
    next: 'Pack directories into one file first (tar), then transfer that.',
    details: { side: 'host', path: file },
  });
}

function notTheirs(file: string): CoppiceError {
  return new CoppiceError({
    code: 'permission_denied',
    message: `On this host ${file} belongs to somebody else.`,
    next: 'Copy it instead of linking it.',
    details: { side: 'host', path: file },
  });
}
