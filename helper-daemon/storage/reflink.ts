/**
 * Disks as raw files on a file system that copies by sharing blocks. A layer is such a copy of its head, so
 * the head stays where it is, there are no chains, and what is deleted takes nothing else with it.
 */
import { chmod, mkdir, open, readdir, rm, stat, truncate } from 'node:fs/promises';
import path from 'node:path';
import { CoppiceError } from '../../protocol/errors.ts';
import { makeDirectory } from '../system/directory.ts';
import type { Base, BaseImage, DiskImage, Locator, StorageBackend } from './backend.ts';
import {
  fileExists,
  fileSha256,
  fileStamp,
  fileSystemSpace,
  makeHeadFile,
  makeLayerFile,
  partFiles,
  partPattern,
  requireFile,
  syncPath,
  uuidPattern,
} from './diskFiles.ts';
import { onceAtATime } from './onceAtATime.ts';
import { convert } from './qemuImg.ts';
import { exportRaw, importRaw } from './rawTransfer.ts';
import { canReflink, cloneFile, unsharedBytes } from './reflink/cloneFile.ts';
import { badLocator, diskTooSmall, errnoOf, imageMissing, orNoSpace } from './storageErrors.ts';

const diskLocator = new RegExp(`^disks/${uuidPattern}\\.raw$`);
const partLocator = new RegExp(`^disks/${partPattern}$`);
const imageCopy = /^([0-9a-f]{64})\.raw$/;
const imageDigest = /^sha256:([0-9a-f]{64})$/;
const disksMode = 0o711;

/** @throws CoppiceError `prerequisite_missing` where the file system of `state` cannot do it */
export async function requireReflink(state: string): Promise<void> {
  await mkdir(state, { recursive: true });
  if (await canReflink(state)) return;
  throw new CoppiceError({
    code: 'prerequisite_missing',
    message: `The file system of ${state} cannot copy files by sharing their blocks.`,
    next: 'Put the state directory on XFS or btrfs, or use the qcow2 storage.',
    details: { directory: state },
  });
}

export function reflinkStorage(options: { readonly state: string }): StorageBackend {
  const root = path.resolve(options.state);
  const disks = path.join(root, 'disks');
  const copies = path.join(root, 'image-copies');
  const parts = partFiles();
  const oneCopy = onceAtATime();

  function locatorOf(id: string): Locator {
    const locator = `disks/${id}.raw`;
    if (!diskLocator.test(locator)) throw badLocator(locator, 'reflink');
    return locator;
  }

  function pathOf(locator: Locator): string {
    if (!diskLocator.test(locator)) throw badLocator(locator, 'reflink');
    return path.join(root, locator);
  }

  async function remove(locator: Locator): Promise<void> {
    await rm(pathOf(locator), { force: true });
  }

  /** The image as a raw file, converted at its first use. */
  async function rawImage(image: BaseImage): Promise<string> {
    const hex = imageDigest.exec(image.digest)?.[1];
    if (hex === undefined) throw badLocator(image.digest, 'reflink');
    const copy = path.join(copies, `${hex}.raw`);
    await oneCopy(hex, async () => {
      if (await fileExists(copy)) return;
      if (!(await fileExists(image.path))) throw imageMissing(image.path);
      await makeDirectory(copies, 0o700);
      await parts.publish(copy, true, async (part) => {
        await convert({ path: image.path, format: 'qcow2' }, { path: part, format: 'raw' });
        await chmod(part, 0o400);
      });
    });
    return copy;
  }

  async function basePath(base: Base): Promise<string> {
    if (base.kind === 'image') return await rawImage(base);
    await requireFile(pathOf(base.locator), base.locator);
    return pathOf(base.locator);
  }

  /** A new writable copy of `base`, or nothing, with this size. */
  async function startFrom(base: Base | undefined, part: string, bytes: number): Promise<void> {
    if (base !== undefined) {
      const source = await basePath(base);
      const { size } = await stat(source);
      if (bytes < size) throw diskTooSmall(size);
      await cloneFile(source, part);
      await chmod(part, 0o600);
    }
    await sized(part, bytes, base === undefined);
  }

  return {
    name: 'reflink',
    location: disks,
    headLocator: locatorOf,

    async createHead({ id, base, sizeBytes, owner }) {
      const locator = locatorOf(id);
      const file = pathOf(locator);
      if (await fileExists(file)) return locator;
      await orNoSpace('The disk could not be made', disks, async () => {
        await makeDirectory(disks, disksMode);
        await parts.publish(file, false, async (part) => {
          await startFrom(base, part, sizeBytes);
          await makeHeadFile(part, owner);
        });
      });
      return locator;
    },

    async disk(locator): Promise<DiskImage> {
      await requireFile(pathOf(locator), locator);
      return { path: pathOf(locator), format: 'raw' };
    },

    async prepareFreeze({ head, layerId }) {
      const headPath = pathOf(head);
      const layer = locatorOf(layerId);
      const layerPath = pathOf(layer);
      await requireFile(headPath, head);
      // Sharing needs the blocks on disk: written now they do not lengthen the time the machine stands still.
      await orNoSpace('The disk could not be frozen', disks, () => syncPath(headPath));
      return {
        layer,
        nextHead: head,
        async commit() {
          if (await fileExists(layerPath)) return;
          await orNoSpace('The disk could not be frozen', disks, () =>
            parts.publish(layerPath, false, async (part) => {
              await cloneFile(headPath, part);
              await makeLayerFile(part, 'the daemon');
            }),
          );
        },
        async settle() {
          await syncPath(layerPath);
          await syncPath(disks);
        },
        abort: () => Promise.resolve(),
      };
    },

    async growHead(head, sizeBytes) {
      await requireFile(pathOf(head), head);
      const { size } = await stat(pathOf(head));
      if (sizeBytes <= size) return;
      await orNoSpace('The disk could not be grown', disks, () =>
        sized(pathOf(head), sizeBytes, false),
      );
    },

    deleteHead: remove,
    deleteLayer: remove,

    async usedBytes(locator) {
      await requireFile(pathOf(locator), locator);
      return await unsharedBytes(pathOf(locator));
    },

    stamp: (layer) => fileStamp(pathOf(layer), layer),
    digest: (layer) => fileSha256(pathOf(layer), layer),

    async check(locator) {
      if (await fileExists(pathOf(locator))) return [];
      return [{ locator, problem: `The disk ${locator} is not in the storage any more.` }];
    },

    async all() {
      const names = await readdir(disks).catch((error: unknown) => {
        if (errnoOf(error) === 'ENOENT') return [];
        throw error;
      });
      return names
        .filter((name) => !parts.inUse(name))
        .map((name) => `disks/${name}`)
        .filter((locator) => diskLocator.test(locator) || partLocator.test(locator));
    },

    async discard(locator) {
      if (!diskLocator.test(locator) && !partLocator.test(locator)) {
        throw badLocator(locator, 'reflink');
      }
      await rm(path.join(root, locator), { force: true });
    },

    space: () => fileSystemSpace(root),

    async keepImages(digests) {
      const names = await readdir(copies).catch(() => []);
      for (const name of names) {
        if (parts.inUse(name)) continue;
        const hex = imageCopy.exec(name)?.[1];
        if (hex !== undefined && digests.has(`sha256:${hex}`)) continue;
        await rm(path.join(copies, name), { force: true });
      }
    },

    async exportTo(locator, file, over) {
      const source = pathOf(locator);
      await requireFile(source, locator);
      const { size } = await stat(source);
      const base =
        over === undefined ? undefined : ({ path: await basePath(over), format: 'raw' } as const);
      await exportRaw({ path: source, bytes: size }, base, file);
    },

    async importLayer({ id, file, base, virtualBytes }) {
      const locator = locatorOf(id);
      const target = pathOf(locator);
      if (await fileExists(target)) return locator;
      await orNoSpace('The disk could not be imported', disks, async () => {
        await makeDirectory(disks, disksMode);
        await parts.publish(target, true, async (part) => {
          await startFrom(base, part, virtualBytes);
          await parts.scratch(target, (copy) =>
            importRaw(file, copy, { path: part, bytes: virtualBytes }),
          );
          await makeLayerFile(part, 'the daemon');
        });
      });
      return locator;
    },
  };
}

/** Disks are whole sectors. */
async function sized(file: string, bytes: number, make: boolean): Promise<void> {
  const length = Math.ceil(bytes / 512) * 512;
  if (make) {
    const handle = await open(file, 'wx', 0o600);
    await handle.truncate(length).finally(() => handle.close());
    return;
  }
  await truncate(file, length);
}
