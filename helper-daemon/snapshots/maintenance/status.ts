/** What disks, snapshots and memory take. */
import { stat } from 'node:fs/promises';
import type { OutputOf } from '../../../protocol/operations.ts';
import { unownedDisks, unownedMemories } from '../../workspaces/recover.ts';
import type { WorkspaceServices } from '../../workspaces/services.ts';

export async function storageStatus(
  services: WorkspaceServices,
): Promise<OutputOf<'storage_status'>> {
  const backend = services.storages.default();
  const records = services.store.all();
  const layers = services.tree.layers();
  const memories = services.tree.memories();
  const { images } = services.images.list();
  const bytesOf = async (storage: (typeof records)[number]['storage'], locator: string) =>
    await services.storages
      .named(storage)
      .usedBytes(locator)
      .catch(() => 0);
  const [heads, frozen, space, depths, reclaimable] = await Promise.all([
    Promise.all(records.map(({ storage, head }) => bytesOf(storage, head))),
    Promise.all(layers.map(({ storage, locator }) => bytesOf(storage, locator))),
    backend.space(),
    Promise.all(
      records.map(async ({ storage, head }) => {
        const { chains } = services.storages.named(storage);
        return chains === undefined ? 0 : await chains.depth(head).catch(() => 0);
      }),
    ),
    reclaimableBytes(services),
  ]);
  return {
    backend: backend.name,
    location: backend.location,
    free_bytes: space.freeBytes,
    total_bytes: space.totalBytes,
    heads: { count: records.length, bytes: sum(heads) },
    layers: { count: layers.length, bytes: sum(frozen) },
    memories: { count: memories.length, bytes: sum(memories.map(({ bytes }) => bytes)) },
    images: { count: images.length, bytes: sum(images.map((image) => image.size_bytes)) },
    deepest_chain: Math.max(0, ...depths),
    reclaimable_bytes: reclaimable,
  };
}

/** Bytes of what nothing needs and nobody owns. */
export async function reclaimableBytes(services: WorkspaceServices): Promise<number> {
  const disks = [
    ...services.tree.unneededLayers().map(({ storage, locator }) => ({ storage, locator })),
    ...(await unownedDisks(services)),
  ];
  const sizes = disks.map(({ storage, locator }) =>
    services.storages
      .named(storage)
      .usedBytes(locator)
      .catch(() => 0),
  );
  const memories = (await unownedMemories(services)).map((file) =>
    stat(file).then(
      ({ blocks }) => blocks * 512,
      () => 0,
    ),
  );
  return sum(await Promise.all([...sizes, ...memories]));
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}
