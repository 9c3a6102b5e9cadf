/**
 * Raw disks out of the storage into qcow2 files of archives, and back. Two raw disks share nothing that can
 * be asked for, so a difference is found by comparing them: an empty overlay over the one is rebased onto
 * the other, which keeps only what differs.
 */
import { rm } from 'node:fs/promises';
import type { DiskImage } from './backend.ts';
import { syncPath } from './diskFiles.ts';
import { writeEmptyOverlay } from './qcow2/emptyOverlay.ts';
import { setBacking } from './qcow2/header.ts';
import { commitInto, convert, rebase } from './qemuImg.ts';
import { orNoSpace } from './storageErrors.ts';
import { copyUntrusted } from './untrustedDisk.ts';

/** Writes `file`; when that fails it is gone. @throws CoppiceError `no_space` */
export async function exportRaw(
  source: { readonly path: string; readonly bytes: number },
  over: DiskImage | undefined,
  file: string,
): Promise<void> {
  await orNoSpace('The disk could not be exported', file, async () => {
    await rm(file, { force: true });
    if (over === undefined) {
      await convert({ path: source.path, format: 'raw' }, { path: file, format: 'qcow2' });
    } else {
      await writeEmptyOverlay(file, source.bytes, { path: source.path, format: 'raw' });
      await rebase(file, over);
      await setBacking(file, undefined);
    }
    await syncPath(file);
  }).catch(async (error: unknown) => {
    await rm(file, { force: true });
    throw error;
  });
}

/**
 * Writes what a file of an archive holds into a raw disk that has the content of its base already and the
 * right size. `scratch` is a name for a private copy, which the caller removes.
 * @throws CoppiceError `archive_invalid`
 */
export async function importRaw(
  file: string,
  scratch: string,
  target: { readonly path: string; readonly bytes: number },
): Promise<void> {
  await copyUntrusted(file, scratch, target.bytes);
  await setBacking(scratch, { path: target.path, format: 'raw' });
  await commitInto(scratch);
}
