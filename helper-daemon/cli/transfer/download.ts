/** From a machine to this host. What arrives is complete or not there. */
import fs from 'node:fs';
import path from 'node:path';
import type { CoppiceClient } from '../../client/client.ts';
import { downloadedBytes } from '../../client/transfer.ts';
import { hostFileError } from './freeSpace.ts';
import { receiveFile, requireDirectory, temporaryBeside } from './receiveFile.ts';
import { unpackTree, type UnpackCounts } from './unpackTree.ts';
import { watched, type TransferOptions } from './upload.ts';

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
  try {
    return await receiveFile(watched(downloadedBytes(stream), options), {
      to,
      size,
      mode: mode & 0o777,
      modified,
      replace: true,
    });
  } catch (error) {
    stream.destroy();
    throw error;
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

/** Directories from the machine may be unreadable; they are ours now. */
function removeTree(root: string): void {
  try {
    fs.rmSync(root, { recursive: true, force: true });
  } catch {
    // Left behind under a name that says whose it is.
  }
}
