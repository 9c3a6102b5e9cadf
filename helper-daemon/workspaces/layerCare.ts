/**
 * What keeps the layers few and the chains short: layers that nobody needs go, those without a name are folded
 * into the one above, heads that stand on too many are made independent of them, and digests are filled in. All
 * of it in the background, one thing at a time; what a crash interrupts is found again.
 */
import type { Base, ChainedStorage } from '../storage/backend.ts';
import type { LayerRecord } from '../store/treeStore.ts';
import { layerLock, requireLayer, usableBase } from './heads.ts';
import type { WorkspaceServices } from './services.ts';

export interface LayerCare {
  /** Looks soon what there is to do. */
  soon(): void;
  /** Does everything now. */
  now(): Promise<{ readonly merged: number }>;
  close(): Promise<void>;
}

/** Deletes layers and memory files that nothing needs. Returns what went. */
export async function collect(services: WorkspaceServices): Promise<string[]> {
  const removed: string[] = [];
  for (;;) {
    const layers = services.tree.unneededLayers();
    if (layers.length === 0) break;
    for (const layer of layers) {
      // The row first: a file without a row is removed at the next start.
      services.tree.removeLayer(layer.id);
      await services.storages.named(layer.storage).deleteLayer(layer.locator);
      removed.push(layer.locator);
    }
  }
  for (const { id } of services.tree.unneededMemories()) {
    services.tree.removeMemory(id);
    await services.memories.remove(id);
    removed.push(`memory ${id}`);
  }
  return removed;
}

/** Storages that convert images keep only copies of those that are still there. */
export async function keepImages(services: WorkspaceServices): Promise<void> {
  const digests = services.images.digests();
  for (const storage of services.storages.inUse()) await storage.keepImages?.(digests);
}

/** How long things must be quiet before the daemon tidies up. */
const quietMs = 2_000;

export function layerCare(services: WorkspaceServices): LayerCare {
  const closed = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let working: Promise<{ merged: number }> | undefined;

  async function work(): Promise<{ merged: number }> {
    let merged = 0;
    await collect(services);
    for (const { id } of services.tree.foldableLayers()) {
      if (closed.signal.aborted) break;
      // The fold before may have changed what it stands on.
      const layer = services.tree.foldableLayers().find((foldable) => foldable.id === id);
      if (layer === undefined) continue;
      if (await attempt('fold', layer.id, () => fold(services, layer))) merged += 1;
    }
    for (const record of services.store.visible()) {
      if (closed.signal.aborted) break;
      await attempt('flatten', record.id, () => flatten(services, record.id));
    }
    await collect(services);
    for (const layer of services.tree.layers()) {
      if (closed.signal.aborted) break;
      if (layer.sha256 === null) {
        await attempt('digest', layer.id, () => fillDigest(services, layer));
      }
    }
    return { merged };
  }

  async function attempt(
    what: string,
    subject: string,
    act: () => Promise<boolean>,
  ): Promise<boolean> {
    try {
      return await act();
    } catch (error) {
      services.log.warn({ subject, err: error }, `${what} not done`);
      return false;
    }
  }

  function now(): Promise<{ merged: number }> {
    clearTimeout(timer);
    const before = working ?? Promise.resolve();
    const mine = before.then(work);
    working = mine;
    return mine.finally(() => {
      if (working === mine) working = undefined;
    });
  }

  return {
    soon() {
      clearTimeout(timer);
      if (closed.signal.aborted) return;
      timer = setTimeout(() => void now().catch(() => undefined), quietMs);
      timer.unref();
    },
    now,
    async close() {
      clearTimeout(timer);
      closed.abort();
      await working?.catch(() => undefined);
    },
  };
}

/** Folds a layer without a name into its only user. False when that is not possible now. */
async function fold(services: WorkspaceServices, layer: LayerRecord): Promise<boolean> {
  const { chains } = services.storages.named(layer.storage);
  if (chains === undefined) return false;
  const [child] = services.tree.childrenOfLayer(layer.id);
  if (child !== undefined) return await mergeUp(services, chains, layer, child);
  const head = services.store.all().find((record) => record.baseLayer === layer.id);
  if (head === undefined) return false;
  return await pull(services, chains, head.id, layer.id, layer.parentId);
}

async function mergeUp(
  services: WorkspaceServices,
  chains: ChainedStorage,
  layer: LayerRecord,
  child: LayerRecord,
): Promise<boolean> {
  // Either may have gone meanwhile.
  if (services.tree.layer(child.id)?.parentId !== layer.id) return false;
  return await restack(services, chains, child.id, layer.parentId);
}

/** Gives a layer the content of what it stands on down to `parentId`, and lets it stand on that. */
async function restack(
  services: WorkspaceServices,
  chains: ChainedStorage,
  layerId: string,
  parentId: string | null,
): Promise<boolean> {
  return await services.locks.run(layerLock(layerId), async () => {
    const layer = services.tree.layer(layerId);
    if (layer === undefined || layer.parentId === parentId) return false;
    const base = await baseBelow(services, layer, parentId);
    const entry = services.journal.begin('fold', layerId, { parent: parentId ?? '' });
    try {
      await chains.merge(layer.locator, base);
      await recordMerge(services, layerId, parentId);
      return true;
    } finally {
      services.journal.end(entry);
    }
  });
}

async function recordMerge(
  services: WorkspaceServices,
  id: string,
  parentId: string | null,
): Promise<void> {
  const layer = requireLayer(services, id);
  const { stamp, bytes } = await services.storages.named(layer.storage).stamp(layer.locator);
  services.tree.updateLayer(id, { parentId, stamp, bytes, sha256: null });
}

/** After a crash: the header of the layer or head tells whether it had been given its new place. */
export async function settleFold(
  services: WorkspaceServices,
  subject: string,
  parentId: string | null,
): Promise<void> {
  const layer = services.tree.layer(subject);
  const head = services.store.byId(subject);
  const disk = layer ?? (head === undefined ? undefined : { ...head, locator: head.head });
  if (disk === undefined) return;
  const standsOn = await services.storages.named(disk.storage).chains?.standsOn(disk.locator);
  const wanted = parentId === null ? undefined : services.tree.layer(parentId)?.locator;
  if (parentId === null ? typeof standsOn !== 'object' : standsOn !== wanted) return;
  if (layer !== undefined) await recordMerge(services, subject, parentId);
  else services.store.update(subject, { baseLayer: parentId });
}

/**
 * Copies what stands between a head and `below` into the head. False while a machine uses it: QEMU 7.2 ends when it
 * streams into a cluster of which a part was written, so what runs is left alone.
 */
async function pull(
  services: WorkspaceServices,
  chains: ChainedStorage,
  workspaceId: string,
  expectedBase: string | null,
  below: string | null,
): Promise<boolean> {
  return await services.locks.run(workspaceId, async () => {
    const record = services.store.byId(workspaceId);
    if (record === undefined || record.baseLayer !== expectedBase) return false;
    if (services.runs.of(workspaceId) !== undefined) return false;
    const base = await usableBase(services, record, below);
    const entry = services.journal.begin('fold', workspaceId, { parent: below ?? '' });
    try {
      await chains.pull(record.head, base);
      services.store.update(workspaceId, { baseLayer: below });
      return true;
    } finally {
      services.journal.end(entry);
    }
  });
}

/** Makes a head that stands on many layers independent of them: at its next start it opens few files. */
async function flatten(services: WorkspaceServices, workspaceId: string): Promise<boolean> {
  const record = services.store.byId(workspaceId);
  if (record === undefined || record.baseLayer === null) return false;
  const { chains } = services.storages.named(record.storage);
  if (chains === undefined) return false;
  if ((await chains.depth(record.head)) <= chains.depthLimit) return false;
  if (await pull(services, chains, workspaceId, record.baseLayer, null)) return true;
  // It runs. The layer below it can be replaced by one with the same content that stands on the image: the machine
  // keeps the files it has open, and everything that is forked, restored or started from now on has a short way.
  const layer = services.tree.layer(record.baseLayer);
  return layer === undefined ? false : await restack(services, chains, layer.id, null);
}

async function fillDigest(services: WorkspaceServices, layer: LayerRecord): Promise<boolean> {
  const storage = services.storages.named(layer.storage);
  const sha256 = await storage.digest(layer.locator);
  if (sha256 === undefined) return false;
  const { stamp } = await storage.stamp(layer.locator);
  // Only what was not touched since the freeze may be vouched for.
  if (services.tree.layer(layer.id)?.stamp !== stamp) return false;
  services.tree.updateLayer(layer.id, { sha256 });
  return true;
}

async function baseBelow(
  services: WorkspaceServices,
  layer: LayerRecord,
  parentId: string | null,
): Promise<Base> {
  if (parentId !== null) {
    return { kind: 'layer', locator: requireLayer(services, parentId).locator };
  }
  const image = await services.images.requireDigest(layer.imageDigest, layer.imageDigest);
  return {
    kind: 'image',
    path: image.path,
    digest: image.digest,
    virtualBytes: image.virtualBytes,
  };
}
