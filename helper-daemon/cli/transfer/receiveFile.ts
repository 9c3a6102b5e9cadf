/** A file that arrives on this host: whole under its name, or not at all. */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { CoppiceError } from '../../../protocol/errors.ts';
import { explainWriteError, freeSpaceAt } from './freeSpace.ts';
import { closeQuietly, writeWhole } from './unpackTree.ts';

export interface Arrival {
  readonly to: string;
  /** Bytes it should have, where that is known before. */
  readonly size?: number;
  readonly mode: number;
  /** Seconds since the epoch; now when absent. */
  readonly modified?: number;
  /** Replace what has the name already. */
  readonly replace: boolean;
  /** Be sure that it is on the disk before it gets its name. */
  readonly durable?: boolean;
}

/** @returns bytes written */
export async function receiveFile(
  chunks: AsyncIterable<Uint8Array>,
  arrival: Arrival,
): Promise<number> {
  const { to, size = 0 } = arrival;
  const temporary = temporaryBeside(to);
  let file: number | undefined;
  let total = 0;
  try {
    requireDirectory(path.dirname(to));
    const space = freeSpaceAt(path.dirname(to));
    // What it says it is; what really comes is admitted again below.
    space.admit(size);
    const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = fs.constants;
    file = fs.openSync(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    for await (const chunk of chunks) {
      total += chunk.length;
      if (total > size) space.admit(chunk.length);
      writeWhole(file, chunk);
    }
    fs.fchmodSync(file, arrival.mode);
    if (arrival.modified !== undefined) {
      fs.futimesSync(file, Date.now() / 1000, arrival.modified);
    }
    if (arrival.durable === true) fs.fsyncSync(file);
    fs.closeSync(file);
    // Somebody may have made it in the meantime.
    if (!arrival.replace) refuseExisting(to);
    fs.renameSync(temporary, to);
    return total;
  } catch (error) {
    if (file !== undefined) {
      closeQuietly(file);
      fs.rmSync(temporary, { force: true });
    }
    throw explainWriteError(error, to);
  }
}

/** @throws CoppiceError `file_exists` */
export function refuseExisting(to: string): void {
  if (fs.lstatSync(to, { throwIfNoEntry: false }) === undefined) return;
  throw new CoppiceError({
    code: 'file_exists',
    message: `${to} exists already.`,
    next: 'Choose another name, or replace it with --force.',
  });
}

/** A temporary name beside the target, so that the last step is a rename. */
export function temporaryBeside(target: string): string {
  const name = `.${path.basename(target).slice(0, 100)}.coppice-${randomBytes(6).toString('hex')}`;
  return path.join(path.dirname(target), name);
}

/** @throws CoppiceError `file_not_found` */
export function requireDirectory(directory: string): void {
  if (fs.statSync(directory, { throwIfNoEntry: false })?.isDirectory() === true) return;
  throw new CoppiceError({
    code: 'file_not_found',
    message: `There is no directory ${directory} on this host.`,
    next: 'Make it first, or choose another target.',
  });
}
