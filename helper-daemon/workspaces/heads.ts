/** Writable disks of workspaces: what they stand on, and what the machine opens. */
import { CoppiceError } from '../../protocol/errors.ts';
import type { Base, DiskImage } from '../storage/backend.ts';
import type { LayerRecord } from '../store/treeStore.ts';
import type { WorkspaceRecord } from '../store/workspaceStore.ts';
import { accountOf } from './accounts.ts';
import type { WorkspaceServices } from './services.ts';

type OnImage = Pick<WorkspaceRecord, 'imageName' | 'imageDigest'>;

/**
 * The storage's view of a layer, or of the image where there is none. Checks that its bytes are those that
 * were frozen.
 * @throws CoppiceError `layer_missing`, `layer_corrupt`, `image_missing`, `image_corrupt`
 */
export async function usableBase(
  services: WorkspaceServices,
  image: OnImage,
  layerId: string | null,
): Promise<Base> {
  const used = await services.images.requireDigest(image.imageName, image.imageDigest);
  if (layerId === null) {
    return { kind: 'image', path: used.path, digest: used.digest, virtualBytes: used.virtualBytes };
  }
  for (const layer of chainOf(services, layerId)) await requireUnchanged(services, layer);
  return { kind: 'layer', locator: requireLayer(services, layerId).locator };
}

/** A layer and everything below it, from top to bottom. */
export function chainOf(services: WorkspaceServices, layerId: string | null): LayerRecord[] {
  const chain: LayerRecord[] = [];
  for (let id = layerId; id !== null;) {
    const layer = requireLayer(services, id);
    chain.push(layer);
    id = layer.parentId;
  }
  return chain;
}

export function requireLayer(services: WorkspaceServices, id: string): LayerRecord {
  const layer = services.tree.layer(id);
  if (layer !== undefined) return layer;
  throw new CoppiceError({
    code: 'layer_missing',
    message: `The disk layer ${id} is not known.`,
    next: 'Run coppice storage verify to see what is affected.',
  });
}

/**
 * A changed stamp means that somebody touched the file; the digest tells whether its bytes are still the same.
 */
export async function requireUnchanged(
  services: WorkspaceServices,
  layer: LayerRecord,
): Promise<void> {
  const storage = services.storages.named(layer.storage);
  if ((await storage.stamp(layer.locator)).stamp === layer.stamp) return;
  // It may have been merged just now: look again when that is over.
  await services.locks.run(layerLock(layer.id), async () => {
    const now = services.tree.layer(layer.id) ?? layer;
    const { stamp, bytes } = await storage.stamp(now.locator);
    if (stamp === now.stamp) return;
    if (now.sha256 !== null && (await storage.digest(now.locator)) === now.sha256) {
      services.tree.updateLayer(now.id, { stamp, bytes });
      return;
    }
    throw new CoppiceError({
      code: 'layer_corrupt',
      message: `The disk layer ${now.locator} was changed after it was frozen; everything that stands on it would read wrong data.`,
      next: 'Put the file back from a backup, or destroy the snapshots and machines that coppice storage verify names.',
      details: { layer: now.id },
    });
  });
}

/** Whoever changes a layer's file, and whoever finds it changed. */
export function layerLock(id: string): string {
  return `layer:${id}`;
}

/** Makes the head that the row speaks of. */
export async function makeHead(
  services: WorkspaceServices,
  record: WorkspaceRecord,
  headId: string,
): Promise<void> {
  const base = await usableBase(services, record, record.baseLayer);
  await services.storages.named(record.storage).createHead({
    id: headId,
    base,
    sizeBytes: record.diskGb * 1024 ** 3,
    owner: accountOf(record.uid),
  });
}

/** What its machine opens. */
export async function headDisk(
  services: WorkspaceServices,
  record: WorkspaceRecord,
): Promise<DiskImage> {
  return await services.storages.named(record.storage).disk(record.head);
}
