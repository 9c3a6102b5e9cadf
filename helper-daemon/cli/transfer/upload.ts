/** From this host into a machine. */
import fs from 'node:fs';
import { CoppiceError } from '../../../protocol/errors.ts';
import type { CoppiceClient } from '../../client/client.ts';
import { uploadBytes } from '../../client/transfer.ts';
import { hostFileError } from './freeSpace.ts';
import { noCounts, packTree, type PackCounts } from './tarWriter.ts';

export interface TransferOptions {
  readonly signal: AbortSignal;
  readonly onBytes?: (total: number) => void;
}

const chunkBytes = 256 * 1024;

/** The file appears whole or not at all; its permission bits come along. */
export async function uploadFile(
  client: CoppiceClient,
  workspace: string,
  from: string,
  to: string,
  options: TransferOptions,
): Promise<PackCounts> {
  const file = openToRead(from);
  try {
    const stats = fs.fstatSync(file);
    if (!stats.isFile()) throw notRegular(from);
    const { ticket } = await client.call('file_upload', {
      workspace_id: workspace,
      path: to,
      size: stats.size,
      mode: (stats.mode & 0o777).toString(8).padStart(4, '0'),
    });
    const stream = await client.openStream(ticket);
    const { bytes } = await uploadBytes(
      stream,
      watched(fileBytes(file, stats.size, from), options),
    );
    return { ...noCounts(), files: 1, bytes };
  } finally {
    fs.closeSync(file);
  }
}

/** The content of `from` arrives in the directory `to`, which is made when it is missing. */
export async function uploadTree(
  client: CoppiceClient,
  workspace: string,
  from: string,
  to: string,
  options: TransferOptions,
): Promise<PackCounts> {
  const { ticket } = await client.call('file_extract', { workspace_id: workspace, path: to });
  const stream = await client.openStream(ticket);
  const counts = noCounts();
  await uploadBytes(stream, watched(packed(from, counts), options));
  return counts;
}

async function* packed(
  from: string,
  counts: PackCounts,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* packTree(from, counts);
  } catch (error) {
    throw hostFileError(error, (error as NodeJS.ErrnoException).path ?? from);
  }
}

/** Exactly `size` bytes of an open file. */
export async function* fileBytes(
  file: number,
  size: number,
  from: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  let left = size;
  while (left > 0) {
    const chunk = Buffer.allocUnsafe(Math.min(left, chunkBytes));
    const read = fs.readSync(file, chunk);
    if (read === 0) {
      throw new CoppiceError({
        code: 'file_error',
        message: `${from} became shorter while it was read.`,
        next: 'Copy again when nothing writes to it.',
      });
    }
    left -= read;
    yield chunk.subarray(0, read);
  }
}

/** Counts what passes and ends with `cancelled` when told to. */
export async function* watched(
  source: AsyncIterable<Uint8Array>,
  { signal, onBytes }: TransferOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  let total = 0;
  try {
    for await (const chunk of source) {
      if (signal.aborted) throw cancelledCopy();
      total += chunk.length;
      onBytes?.(total);
      yield chunk;
    }
  } catch (error) {
    // Giving up may have closed the source under us.
    throw signal.aborted ? cancelledCopy() : error;
  }
}

function cancelledCopy(): CoppiceError {
  return new CoppiceError({
    code: 'cancelled',
    message: 'The copy was cancelled; incomplete files were removed.',
  });
}

/** @throws CoppiceError what the file system says, about the path that was given */
export function openToRead(from: string): number {
  try {
    return fs.openSync(from, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  } catch (error) {
    throw hostFileError(error, from);
  }
}

function notRegular(from: string): CoppiceError {
  return new CoppiceError({
    code: 'file_error',
    message: `${from} is neither a file nor a directory.`,
    next: 'To send what a pipe or device gives: coppice write <workspace> <path> < it',
  });
}
