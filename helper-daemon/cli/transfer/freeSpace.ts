/** Keeps a copy from filling the host's disk, whatever the machine sends. */
import fs from 'node:fs';
import { CoppiceError } from '../../../protocol/errors.ts';
import { formatBytes } from '../text/units.ts';

export interface FreeSpace {
  /** @throws CoppiceError `no_space` when that many bytes, in a new file, would fill the disk */
  admit(bytes: number): void;
}

/** Left for everybody else on the disk. */
const reserveBytes = 64 * 1024 * 1024;
const reserveFiles = 1000;
/** How much is written on the word of one look. */
const lookAgainBytes = 64 * 1024 * 1024;
const lookAgainFiles = 1000;

export function freeSpaceAt(
  directory: string,
  look: (path: string) => Pick<fs.StatsFs, 'bavail' | 'bsize' | 'ffree' | 'files'> = (path) =>
    fs.statfsSync(path),
): FreeSpace {
  let bytesLeft = 0;
  let filesLeft = 0;
  let written = Infinity;
  let created = 0;
  return {
    admit(bytes) {
      if (written + bytes > lookAgainBytes || created >= lookAgainFiles) {
        const now = look(directory);
        bytesLeft = now.bavail * now.bsize - reserveBytes;
        // File systems without a fixed number of inodes say 0 of 0.
        filesLeft = now.files === 0 ? Infinity : now.ffree - reserveFiles;
        written = 0;
        created = 0;
      }
      written += bytes;
      created += 1;
      if (written > bytesLeft || created > filesLeft) {
        throw noSpace(directory, bytes, bytesLeft, filesLeft);
      }
    },
  };
}

function noSpace(
  directory: string,
  bytes: number,
  bytesLeft: number,
  filesLeft: number,
): CoppiceError {
  const what =
    filesLeft <= 0
      ? 'there are no free inodes left'
      : `${formatBytes(bytes)} more are to come and only ${formatBytes(Math.max(0, bytesLeft))} may be used`;
  return new CoppiceError({
    code: 'no_space',
    message: `The copy would fill the host's disk at ${directory}: ${what}.`,
    next: 'Copy less, or to another disk.',
  });
}

/** ENOSPC and EDQUOT in our words; anything else as it is. */
export function explainWriteError(error: unknown, path: string): unknown {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new CoppiceError(
      {
        code: 'no_space',
        message: `The host's disk is full: ${path} could not be written.`,
        next: 'Make room, or copy to another disk. The incomplete file was removed.',
      },
      { cause: error },
    );
  }
  return hostFileError(error, path);
}

/** What the host's file system says, for the person who named the path. */
export function hostFileError(error: unknown, path: string): unknown {
  if (error instanceof CoppiceError || !(error instanceof Error)) return error;
  const { code } = error as NodeJS.ErrnoException;
  if (code === undefined || !/^E[A-Z0-9]+$/.test(code)) return error;
  const words: Readonly<Record<string, readonly [CoppiceError['code'], string]>> = {
    ENOENT: ['file_not_found', 'does not exist on this host'],
    EACCES: ['permission_denied', 'may not be used by you'],
    EPERM: ['permission_denied', 'may not be changed by you'],
    EISDIR: ['file_error', 'is a directory'],
    ENOTDIR: ['file_error', 'has something in its path that is no directory'],
    EEXIST: ['file_exists', 'exists already'],
    EROFS: ['file_error', 'is on a read-only file system'],
    ENAMETOOLONG: ['file_error', 'has a name that is too long'],
  };
  const [kind, text] = words[code] ?? ['file_error', `failed with ${code}`];
  return new CoppiceError({ code: kind, message: `${path} ${text}.` }, { cause: error });
}
