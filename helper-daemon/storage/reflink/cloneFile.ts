/** Copies that share their blocks until one side writes: XFS, btrfs and what else can. */
import { constants, copyFile, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { run } from '../../system/run.ts';
import { CoppiceError } from '../../../protocol/errors.ts';

/** The copy must not exist yet. */
export async function cloneFile(from: string, to: string): Promise<void> {
  await copyFile(from, to, constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL);
}

/** Tries it: names of file systems say little, the same one is made with and without. */
export async function canReflink(directory: string): Promise<boolean> {
  const place = await mkdtemp(path.join(directory, '.reflink-'));
  try {
    const source = path.join(place, 'a');
    await writeFile(source, Buffer.alloc(4096, 1));
    await cloneFile(source, path.join(place, 'b'));
    return true;
  } catch {
    return false;
  } finally {
    await rm(place, { recursive: true, force: true });
  }
}

/**
 * Bytes of a file that no other file shares; all its bytes where that cannot be asked.
 * @throws the error of stat
 */
export async function unsharedBytes(file: string): Promise<number> {
  const { blocks } = await stat(file);
  try {
    const { stdout } = await run('filefrag', ['-v', '-b4096', file]);
    return unsharedOf(stdout);
  } catch (error) {
    if (error instanceof CoppiceError) return blocks * 512;
    throw error;
  }
}

/** Sums the extents of `filefrag -v -b4096` that are not marked as shared. */
function unsharedOf(listing: string): number {
  let blocks = 0;
  for (const line of listing.split('\n')) {
    const [, length, flags] =
      /^\s*\d+:\s*\d+\.\.\s*\d+:\s*\d+\.\.\s*\d+:\s*(\d+):(.*)$/.exec(line) ?? [];
    if (length === undefined || flags?.includes('shared') === true) continue;
    blocks += Number(length);
  }
  return blocks * 4096;
}
