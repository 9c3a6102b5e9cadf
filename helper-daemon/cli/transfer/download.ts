/** From a machine to this host. What arrives is complete or not there. */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { CoppiceError } from '../../../protocol/errors.ts';
import type { CoppiceClient } from '../../client/client.ts';
import { downloadedBytes } from '../../client/transfer.ts';
import { explainWriteError, freeSpaceAt, hostFileError } from './freeSpace.ts';
import { closeQuietly, unpackTree, writeWhole, type UnpackCounts } from './unpackTree.ts';
import { watched, type TransferOptions } from './upload.ts';

/** A temporary name beside the target, so that the last step is a rename. */
function temporaryBeside(target: string): string {
  const name = `.${path.basename(target).slice(0, 100)}.coppice-${randomBytes(6).toString('hex')}`;
  return path.join(path.dirname(target), name);
}

/** @returns bytes written */
export async function downloadFile(
  client: CoppiceClient,
  workspace: string,
  from: string,
  to: string,
  options: TransferOptions,
): Promise<number> {
  const { ticket, size, mode, modified } = await client.call('file_download', {
    workspace_id: workspace,
    path: from,
  });
  const stream = await client.openStream(ticket);
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
    for await (const chunk of watched(downloadedBytes(stream), options)) {
      total += chunk.length;
      if (total > size) space.admit(chunk.length);
      writeWhole(file, chunk);
    }
    fs.fchmodSync(file, mode & 0o777);
    fs.futimesSync(file, Date.now() / 1000, modified);
    fs.closeSync(file);
    fs.renameSync(temporary, to);
    return total;
  } catch (error) {
    stream.destroy();
    if (file !== undefined) {
      closeQuietly(file);
      fs.rmSync(temporary, { force: true });
    }
    throw explainWriteError(error, to);
  }
}

/** @param to a directory that is merged into, or a name that is free */
export async function downloadTree(
  client: CoppiceClient,
  workspace: string,
  from: string,
  to: string,
  options: TransferOptions & { readonly unsafeLinks?: boolean },
): Promise<UnpackCounts> {
  const fresh = !fs.existsSync(to);
  const root = fresh ? temporaryBeside(to) : to;
  if (fresh) makeDirectory(root);
  try {
    const { ticket } = await client.call('file_archive', { workspace_id: workspace, path: from });
    const stream = await client.openStream(ticket);
    try {
      const counts = await unpackTree(root, watched(downloadedBytes(stream), options), {
        ownRoot: fresh,
        ...(options.unsafeLinks === undefined ? {} : { unsafeLinks: options.unsafeLinks }),
      });
      if (fresh) fs.renameSync(root, to);
      return counts;
    } finally {
      stream.destroy();
    }
  } catch (error) {
    if (fresh) removeTree(root);
    throw hostFileError(error, to);
  }
}

function makeDirectory(directory: string): void {
  requireDirectory(path.dirname(directory));
  try {
    fs.mkdirSync(directory, { mode: 0o700 });
  } catch (error) {
    throw hostFileError(error, path.dirname(directory));
  }
}

function requireDirectory(directory: string): void {
  if (fs.statSync(directory, { throwIfNoEntry: false })?.isDirectory() === true) return;
  throw new CoppiceError({
    code: 'file_not_found',
    message: `There is no directory ${directory} on this host.`,
    next: 'Make it first, or choose another target.',
  });
}

/** Directories from the machine may be unreadable; they are ours now. */
function removeTree(root: string): void {
  try {
    fs.rmSync(root, { recursive: true, force: true });
  } catch {
    // Left behind under a name that says whose it is.
  }
}
