/**
 * Disks as qcow2 overlays: any file system, no root, no preparation. Heads and layers are files of one
 * directory, named by id and never renamed, since files above name them by path. A new file appears whole
 * or not at all.
 */
import { readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { asCoppiceError } from '../../protocol/errors.ts';
import { makeDirectory } from '../system/directory.ts';
import type { Locator, StorageBackend } from './backend.ts';
import {
  fileExists,
  fileSha256,
  fileStamp,
  fileSystemSpace,
  makeHeadFile,
  partFiles,
  requireFile,
} from './diskFiles.ts';
import { imageDamage, resize } from './qemuImg.ts';
import { badLocator, diskTooSmall, errnoOf, layerMissing, orNoSpace } from './storageErrors.ts';
import { chainedQcow2 } from './qcow2/chains.ts';
import {
  backingFor,
  chainOf,
  diskFacts,
  diskLocatorOf,
  diskPath,
  isDisk,
  isPart,
  type DiskPlaces,
} from './qcow2/disks.ts';
import { writeEmptyOverlay } from './qcow2/emptyOverlay.ts';
import { prepareFreeze } from './qcow2/freeze.ts';
import { exportDisk, importDisk } from './qcow2/transfer.ts';

/** Machines of other accounts pass through to the file they know; nobody lists. */
const disksMode = 0o711;

export interface Qcow2Options {
  /** The daemon's state directory. */
  readonly state: string;
  /** Where the catalogue keeps its files; default `<state>/images`. */
  readonly images?: string;
}

export function qcow2Storage({ state, images }: Qcow2Options): StorageBackend {
  const root = path.resolve(state);
  const places: DiskPlaces = {
    state: root,
    images: images === undefined ? path.join(root, 'images') : path.resolve(images),
  };
  const disks = path.join(root, 'disks');
  const parts = partFiles();
  const pathOf = (locator: Locator): string => diskPath(places, locator);

  async function remove(locator: Locator): Promise<void> {
    await rm(pathOf(locator), { force: true });
  }

  return {
    name: 'qcow2',
    location: disks,
    chains: chainedQcow2(places, parts),
    headLocator: diskLocatorOf,

    async createHead({ id, base, sizeBytes, owner }) {
      const locator = diskLocatorOf(id);
      const file = pathOf(locator);
      if (await fileExists(file)) return locator;
      const backing = await backingFor(places, base);
      if (sizeBytes < backing.virtualBytes) throw diskTooSmall(backing.virtualBytes);
      await orNoSpace('The disk could not be made', disks, async () => {
        await makeDirectory(disks, disksMode);
        await parts.publish(file, false, async (part) => {
          await writeEmptyOverlay(part, sizeBytes, backing);
          await makeHeadFile(part, owner);
        });
      });
      return locator;
    },

    async disk(locator) {
      await chainOf(places, locator);
      return { path: pathOf(locator), format: 'qcow2' };
    },

    async prepareFreeze(request) {
      await makeDirectory(disks, disksMode);
      return await prepareFreeze(places, parts, request);
    },

    async growHead(head, sizeBytes) {
      const { header } = await diskFacts(places, head);
      if (header.virtualBytes >= sizeBytes) return;
      await chainOf(places, head);
      const file = pathOf(head);
      await orNoSpace('The disk could not be grown', disks, () =>
        resize({ path: file, format: 'qcow2' }, sizeBytes),
      );
    },

    deleteHead: remove,
    deleteLayer: remove,

    async usedBytes(locator) {
      const facts = await stat(pathOf(locator)).catch((error: unknown) => {
        throw errnoOf(error) === 'ENOENT' ? layerMissing(locator) : error;
      });
      return facts.blocks * 512;
    },

    stamp: (layer) => fileStamp(pathOf(layer), layer),
    digest: (layer) => fileSha256(pathOf(layer), layer),

    async check(locator) {
      const file = pathOf(locator);
      try {
        await requireFile(file, locator);
        await chainOf(places, locator);
      } catch (error) {
        return [{ locator, problem: asCoppiceError(error).message }];
      }
      const problem = await imageDamage(file);
      return problem === undefined ? [] : [{ locator, problem }];
    },

    async all() {
      const names = await readdir(disks).catch((error: unknown) => {
        if (errnoOf(error) === 'ENOENT') return [];
        throw error;
      });
      return names
        .filter((name) => !parts.inUse(name))
        .map((name) => `disks/${name}`)
        .filter((locator) => isDisk(locator) || isPart(locator));
    },

    async discard(locator) {
      if (!isDisk(locator) && !isPart(locator)) throw badLocator(locator, 'qcow2');
      await rm(path.join(root, locator), { force: true });
    },

    space: () => fileSystemSpace(root),
    exportTo: (locator, file, over) => exportDisk(places, locator, file, over),

    async importLayer(request) {
      await makeDirectory(disks, disksMode);
      return await importDisk(places, parts, request);
    },
  };
}
