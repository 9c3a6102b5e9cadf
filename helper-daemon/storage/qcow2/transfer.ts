/** Disks out of the storage into archives, and back. Files in archives name no path of this host. */
import { chmod, rm } from 'node:fs/promises';
import type { Base, Locator, StorageBackend } from '../backend.ts';
import { copyDisk, fileExists, makeLayerFile, syncPath, type PartFiles } from '../diskFiles.ts';
import { convert, rebase } from '../qemuImg.ts';
import { diskTooSmall, orNoSpace } from '../storageErrors.ts';
import { copyUntrusted } from '../untrustedDisk.ts';
import {
  backingFor,
  chainOf,
  diskFacts,
  diskLocatorOf,
  diskPath,
  standsOnBase,
  type DiskPlaces,
} from './disks.ts';
import { setBacking } from './header.ts';

export async function exportDisk(
  places: DiskPlaces,
  locator: Locator,
  file: string,
  over: Base | undefined,
): Promise<void> {
  const source = diskPath(places, locator);
  await chainOf(places, locator);
  const { standing } = await diskFacts(places, locator);
  await orNoSpace('The disk could not be exported', file, async () => {
    if (over === undefined) {
      await convert({ path: source, format: 'qcow2' }, { path: file, format: 'qcow2' });
    } else {
      await copyDisk(source, file);
      await chmod(file, 0o600);
      if (!standsOnBase(standing, over)) await rebase(file, await backingFor(places, over));
      await setBacking(file, undefined);
    }
    await syncPath(file);
  }).catch(async (error: unknown) => {
    await rm(file, { force: true });
    throw error;
  });
}

export async function importDisk(
  places: DiskPlaces,
  parts: PartFiles,
  { id, file, base, virtualBytes }: Parameters<StorageBackend['importLayer']>[0],
): Promise<Locator> {
  const locator = diskLocatorOf(id);
  const target = diskPath(places, locator);
  if (await fileExists(target)) return locator;
  const backing = base === undefined ? undefined : await backingFor(places, base);
  if (backing !== undefined && virtualBytes < backing.virtualBytes) {
    throw diskTooSmall(backing.virtualBytes);
  }
  await orNoSpace('The disk could not be imported', places.state, () =>
    parts.publish(target, true, async (part) => {
      await copyUntrusted(file, part, virtualBytes);
      await setBacking(part, backing);
      await makeLayerFile(part, 'every machine');
    }),
  );
  return locator;
}
