/** Frees what no machine and no snapshot needs. */
import type { OutputOf, ParsedInputOf } from '../../../protocol/operations.ts';
import { collect, keepImages, type LayerCare } from '../../workspaces/layerCare.ts';
import { removeUnownedStorage, unownedDisks, unownedMemories } from '../../workspaces/recover.ts';
import type { WorkspaceServices } from '../../workspaces/services.ts';
import { reclaimableBytes } from './status.ts';

export async function collectGarbage(
  services: WorkspaceServices,
  layerCare: LayerCare,
  input: ParsedInputOf<'storage_gc'>,
): Promise<OutputOf<'storage_gc'>> {
  if (input.dry_run === true) {
    const disks = await unownedDisks(services);
    return {
      removed: [
        ...services.tree.unneededLayers().map(({ locator }) => locator),
        ...disks.map(({ locator }) => locator),
        ...(await unownedMemories(services)),
      ],
      merged: 0,
      freed_bytes: await reclaimableBytes(services),
    };
  }
  const space = services.storages.default().space;
  const before = await space();
  const removed = [...(await collect(services)), ...(await removeUnownedStorage(services))];
  await keepImages(services);
  const { merged } = await layerCare.now();
  const after = await space();
  return { removed, merged, freed_bytes: Math.max(0, after.freeBytes - before.freeBytes) };
}
