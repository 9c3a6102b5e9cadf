/**
 * Disks as ZFS volumes (or files in datasets, where a pool cannot make volumes). A head is a dataset, a
 * layer a snapshot of the dataset it was written in, a fork or restore a clone. ZFS checks every byte it
 * reads, so layers have no digest of ours.
 *
 * No quota is set above volumes: on a full one, writers hang where nothing can end them.
 */
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { asCoppiceError, CoppiceError } from '../../protocol/errors.ts';
import { run } from '../system/run.ts';
import type { Base, BaseImage, Locator, StorageBackend } from './backend.ts';
import { fileExists, partFiles, syncPath } from './diskFiles.ts';
import { onceAtATime } from './onceAtATime.ts';
import { convert } from './qemuImg.ts';
import { exportRaw, importRaw } from './rawTransfer.ts';
import {
  badLocator,
  diskTooSmall,
  imageMissing,
  layerMissing,
  noSpace,
  orNoSpace,
} from './storageErrors.ts';
import { fileMedium, volumeMedium, type DeviceOptions } from './zfs/medium.ts';
import {
  bytesProperty,
  checkPlaceNames,
  headLocatorOf,
  holdTag,
  husk,
  isHead,
  isLayer,
  isTemporary,
  requireHead,
  requireLayer,
  rootOf,
  stateProperty,
  type ZfsPlace,
} from './zfs/names.ts';
import { deleteHead, deleteLayer, destroyDataset, listAll, type Pruning } from './zfs/pruning.ts';
import {
  refusalOf,
  zfs,
  zfsGet,
  zfsPrograms,
  zfsUnless,
  type ZfsPrograms,
} from './zfs/zfsCommand.ts';

export interface ZfsOptions extends ZfsPlace {
  readonly programs?: ZfsPrograms;
  readonly device?: DeviceOptions;
}

/** A pool that is nearly full gets slow and refuses deletions' own metadata: new disks stop before that. */
const reserveBytes = 128 * 1024 ** 2;
const reserveShare = 0.05;
const imageDigest = /^sha256:([0-9a-f]{64})$/;
const devicePatienceMs = 10_000;

export function zfsStorage(options: ZfsOptions): StorageBackend {
  checkPlaceNames(options);
  const { programs = zfsPrograms, mode, dialect } = options;
  const device = options.device ?? { devices: '/dev', patienceMs: devicePatienceMs };
  const root = rootOf(options);
  const medium = mode === 'zvol' ? volumeMedium(programs, device) : fileMedium(programs, dialect);
  const pruning: Pruning = { programs, root };
  const parts = partFiles();
  const oneImage = onceAtATime();
  const temporaries = new Set<Locator>();
  const full = (locator: Locator): string => `${root}/${locator}`;

  async function space(): Promise<{ freeBytes: number; totalBytes: number }> {
    const found = (await zfsGet(programs, root, ['available', 'used'])).get(root);
    if (found === undefined) throw poolMissing(root);
    const freeBytes = Number(found.get('available'));
    return { freeBytes, totalBytes: freeBytes + Number(found.get('used')) };
  }

  async function requireRoom(what: string): Promise<void> {
    const { freeBytes, totalBytes } = await space();
    if (freeBytes < Math.min(reserveBytes, totalBytes * reserveShare)) throw noSpace(what, root);
  }

  /** A head that is in use as one. */
  async function requireHeadDataset(locator: Locator): Promise<string> {
    const dataset = full(requireHead(locator));
    const found = (await zfsGet(programs, dataset, [stateProperty])).get(dataset);
    if (found === undefined || found.get(stateProperty) === husk) throw layerMissing(locator);
    return dataset;
  }

  /** Name and size of a snapshot to stand on. */
  async function snapshotOf(base: Base): Promise<{ snapshot: string; bytes: number }> {
    if (base.kind === 'image') {
      return { snapshot: await imageSnapshot(base), bytes: base.virtualBytes };
    }
    const snapshot = full(requireLayer(base.locator));
    const properties = [bytesProperty, 'defer_destroy'];
    const found = (await zfsGet(programs, snapshot, properties)).get(snapshot);
    // A deferred one could still be cloned, but it was deleted.
    if (found === undefined || found.get('defer_destroy') === 'on') {
      throw layerMissing(base.locator);
    }
    return { snapshot, bytes: Number(found.get(bytesProperty)) };
  }

  /** The image as a disk of its own, converted at its first use; its snapshot says that it is whole. */
  async function imageSnapshot(image: BaseImage): Promise<string> {
    const hex = imageDigest.exec(image.digest)?.[1];
    if (hex === undefined) throw badLocator(image.digest, 'zfs');
    const dataset = full(`images/${hex}`);
    const snapshot = `${dataset}@base`;
    await oneImage(hex, async () => {
      const found = await zfsGet(programs, dataset, ['type'], { recursive: true });
      if (found.has(snapshot)) return;
      if (!(await fileExists(image.path))) throw imageMissing(image.path);
      if (found.has(dataset)) await zfs(programs, ['destroy', dataset]);
      try {
        await medium.create(dataset, image.virtualBytes);
        const disk = await medium.path(dataset);
        await convert(
          { path: image.path, format: 'qcow2' },
          { path: disk, format: 'raw' },
          { intoEmpty: true },
        );
        await syncPath(disk);
        await zfs(programs, ['snapshot', snapshot]);
      } catch (error) {
        await zfsUnless(programs, ['missing'], ['destroy', dataset]);
        throw error;
      }
    });
    return snapshot;
  }

  /** Freezes a dataset's content under this name. */
  async function takeLayer(locator: Locator, dataset: string, bytes: number): Promise<void> {
    await syncPath(await medium.path(dataset));
    const size = `${bytesProperty}=${String(bytes)}`;
    await zfsUnless(programs, ['exists'], ['snapshot', '-o', size, full(locator)]);
  }

  async function hold(locator: Locator): Promise<void> {
    await zfsUnless(programs, ['tag_exists'], ['hold', holdTag, full(locator)]);
  }

  /** A snapshot as something that can be opened. */
  async function withClone<T>(snapshot: string, work: (disk: string) => Promise<T>): Promise<T> {
    const locator = `tmp/${randomUUID()}`;
    temporaries.add(locator);
    try {
      await medium.clone(snapshot, full(locator));
      return await work(await medium.path(full(locator)));
    } finally {
      await destroyDataset(pruning, full(locator), snapshot);
      temporaries.delete(locator);
    }
  }

  async function withDisk<T>(
    locator: Locator,
    work: (disk: { path: string; bytes: number }) => Promise<T>,
  ): Promise<T> {
    if (isLayer(locator)) {
      const { snapshot, bytes } = await snapshotOf({ kind: 'layer', locator });
      return await withClone(snapshot, (disk) => work({ path: disk, bytes }));
    }
    const dataset = await requireHeadDataset(locator);
    return await work({ path: await medium.path(dataset), bytes: await medium.bytes(dataset) });
  }

  return {
    name: 'zfs',
    location: root,
    headLocator: headLocatorOf,

    async createHead({ id, base, sizeBytes, owner }) {
      const locator = headLocatorOf(id);
      const dataset = full(locator);
      return await orNoSpace('The disk could not be made', root, async () => {
        await requireRoom('The disk could not be made');
        const { snapshot, bytes } = await snapshotOf(base);
        if (sizeBytes < bytes) throw diskTooSmall(bytes);
        let made = true;
        try {
          await medium.clone(snapshot, dataset);
        } catch (error) {
          // An earlier attempt may have ended anywhere below.
          if (refusalOf(error) === 'missing') throw layerMissing(snapshot);
          if (refusalOf(error) !== 'exists') throw error;
          made = false;
        }
        try {
          if ((await medium.bytes(dataset)) < sizeBytes) await medium.grow(dataset, sizeBytes);
          await medium.give(dataset, owner);
        } catch (error) {
          if (made) await destroyDataset(pruning, dataset, snapshot);
          throw error;
        }
        return locator;
      });
    },

    async disk(locator) {
      return { path: await medium.path(await requireHeadDataset(locator)), format: 'raw' };
    },

    async prepareFreeze({ head, layerId }) {
      const dataset = await requireHeadDataset(head);
      const layer = requireLayer(`${head}@${layerId}`);
      await requireRoom('The disk could not be frozen');
      const bytes = await medium.bytes(dataset);
      // What is written now does not lengthen the time the machine stands still.
      await syncPath(await medium.path(dataset));
      return {
        layer,
        nextHead: head,
        commit: () =>
          orNoSpace('The disk could not be frozen', root, () => takeLayer(layer, dataset, bytes)),
        settle: () => hold(layer),
        abort: () => Promise.resolve(),
      };
    },

    async growHead(head, sizeBytes) {
      const dataset = await requireHeadDataset(head);
      if ((await medium.bytes(dataset)) >= sizeBytes) return;
      await orNoSpace('The disk could not be grown', root, () => medium.grow(dataset, sizeBytes));
    },

    deleteHead: async (head) => await deleteHead(pruning, requireHead(head)),
    deleteLayer: async (layer) => await deleteLayer(pruning, requireLayer(layer)),

    async usedBytes(locator) {
      const ofHead = dialect === 'fuse' ? 'usedbydataset' : 'written';
      const property = isLayer(locator) ? 'used' : ofHead;
      const name = full(isLayer(locator) ? locator : requireHead(locator));
      const found = (await zfsGet(programs, name, [property])).get(name);
      if (found === undefined) throw layerMissing(locator);
      return Number(found.get(property));
    },

    async stamp(layer) {
      const name = full(requireLayer(layer));
      const properties = ['guid', 'createtxg', 'referenced', 'defer_destroy'];
      const found = (await zfsGet(programs, name, properties)).get(name);
      if (found === undefined || found.get('defer_destroy') === 'on') throw layerMissing(layer);
      const stamp = `${found.get('guid') ?? ''}:${found.get('createtxg') ?? ''}`;
      return { stamp, bytes: Number(found.get('referenced')) };
    },

    async digest(layer) {
      const name = full(requireLayer(layer));
      if ((await zfsGet(programs, name, ['type'])).has(name)) return undefined;
      throw layerMissing(layer);
    },

    async check(locator) {
      try {
        if (isLayer(locator)) await snapshotOf({ kind: 'layer', locator });
        else await requireHeadDataset(locator);
        const { stdout } = await run(programs.zpool, ['list', '-H', '-o', 'health', options.pool]);
        if (stdout.trim() === 'ONLINE') return [];
        return [{ locator, problem: `The pool ${options.pool} is ${stdout.trim()}.` }];
      } catch (error) {
        return [{ locator, problem: asCoppiceError(error).message }];
      }
    },

    async all() {
      const found = await listAll(pruning);
      return found.filter(
        (locator) =>
          isHead(locator) ||
          isLayer(locator) ||
          (isTemporary(locator) && !temporaries.has(locator)),
      );
    },

    async discard(locator) {
      if (isLayer(locator)) await deleteLayer(pruning, locator);
      else if (isTemporary(locator)) {
        const dataset = full(locator);
        const found = (await zfsGet(programs, dataset, ['origin'])).get(dataset);
        await destroyDataset(pruning, dataset, found?.get('origin'));
      } else await deleteHead(pruning, requireHead(locator));
    },

    space,

    async keepImages(digests) {
      const top = full('images');
      const found = await zfsGet(programs, top, ['type'], { recursive: true });
      for (const name of found.keys()) {
        const hex = name.slice(top.length + 1);
        if (!/^[0-9a-f]{64}$/.test(hex) || digests.has(`sha256:${hex}`)) continue;
        await oneImage(hex, async () => {
          // An image that heads and layers still stand on is dropped by a later call.
          const last = ['missing', 'has_clones'] as const;
          await zfsUnless(programs, last, ['destroy', `${name}@base`]);
          await zfsUnless(programs, ['missing', 'has_children'], ['destroy', name]);
        });
      }
    },

    async exportTo(locator, file, over) {
      await orNoSpace('The disk could not be exported', root, () =>
        withDisk(locator, async (source) => {
          if (over === undefined) await exportRaw(source, undefined, file);
          else {
            const { snapshot } = await snapshotOf(over);
            await withClone(snapshot, (base) =>
              exportRaw(source, { path: base, format: 'raw' }, file),
            );
          }
        }),
      );
    },

    async importLayer({ id, file, base, virtualBytes }) {
      const dataset = full(headLocatorOf(id));
      const layer = requireLayer(`heads/${id}@${id}`);
      const found = await zfsGet(programs, dataset, ['origin'], { recursive: true });
      if (!found.has(full(layer))) {
        await destroyDataset(pruning, dataset, found.get(dataset)?.get('origin'));
        await orNoSpace('The disk could not be imported', root, async () => {
          await requireRoom('The disk could not be imported');
          const from = base === undefined ? undefined : await snapshotOf(base);
          if (from !== undefined && virtualBytes < from.bytes) throw diskTooSmall(from.bytes);
          // It never is a head: its dataset goes with its layer.
          const state = ['-o', `${stateProperty}=${husk}`];
          try {
            if (from === undefined) await medium.create(dataset, virtualBytes, state);
            else await medium.clone(from.snapshot, dataset, state);
            if ((await medium.bytes(dataset)) < virtualBytes) {
              await medium.grow(dataset, virtualBytes);
            }
            const disk = await medium.path(dataset);
            await parts.scratch(path.join(path.dirname(file), id), (copy) =>
              importRaw(file, copy, { path: disk, bytes: virtualBytes }),
            );
            await takeLayer(layer, dataset, virtualBytes);
          } catch (error) {
            await destroyDataset(pruning, dataset, from?.snapshot);
            throw error;
          }
        });
      }
      await hold(layer);
      return layer;
    },
  };
}

function poolMissing(root: string): CoppiceError {
  return new CoppiceError({
    code: 'prerequisite_missing',
    message: `There is no dataset ${root}: its pool is not imported, or it was never set up.`,
    next: 'Import the pool (zpool import), or set the storage up again: coppice storage init zfs.',
    details: { dataset: root },
  });
}
