/**
 * Freezing a file: an empty overlay is laid over it, and from the moment the machine writes there the file
 * below is a layer. It is neither moved nor copied, so a freeze costs the same for any size.
 */
import { link, rm } from 'node:fs/promises';
import path from 'node:path';
import type { Freeze, FreezeRequest, Locator } from '../backend.ts';
import {
  fileExists,
  makeHeadFile,
  makeLayerFile,
  requireFile,
  syncPath,
  type PartFiles,
} from '../diskFiles.ts';
import { badLocator, errnoOf, orNoSpace } from '../storageErrors.ts';
import { diskFacts, diskLocatorOf, diskPath, isFormerHead, type DiskPlaces } from './disks.ts';
import { writeEmptyOverlay } from './emptyOverlay.ts';

/** @throws CoppiceError `no_space`, `layer_missing`, `layer_corrupt` */
export async function prepareFreeze(
  places: DiskPlaces,
  parts: PartFiles,
  { head, layerId, nextHeadId, owner }: FreezeRequest,
): Promise<Freeze> {
  const headPath = diskPath(places, head);
  const former = isFormerHead(head);
  const layer: Locator = former ? diskLocatorOf(layerId) : head;
  const layerPath = diskPath(places, layer);
  const nextHead = diskLocatorOf(nextHeadId);
  const nextPath = diskPath(places, nextHead);
  if (nextHead === layer) throw badLocator(nextHead, 'qcow2');

  const remove = async (): Promise<void> => {
    await rm(nextPath, { force: true });
    if (former && (await fileExists(headPath))) await rm(layerPath, { force: true });
  };

  if (await fileExists(nextPath)) {
    // An earlier attempt got this far; the machine may have written there since.
    const { standing } = await diskFacts(places, nextHead);
    if (standing?.kind !== 'layer' || standing.locator !== layer) {
      throw badLocator(nextHead, 'qcow2');
    }
  } else {
    await requireFile(headPath, head);
    const { header } = await diskFacts(places, head);
    await orNoSpace('The disk could not be frozen', places.state, async () => {
      // A second name in the directory that all machines can reach; the first one goes with its workspace.
      if (former) await linkOnce(headPath, layerPath);
      await parts.publish(nextPath, false, async (part) => {
        const backing = { path: layerPath, format: 'qcow2' } as const;
        await writeEmptyOverlay(part, header.virtualBytes, backing);
        await makeHeadFile(part, owner);
      });
    }).catch(async (error: unknown) => {
      await remove();
      throw error;
    });
  }
  return {
    layer,
    nextHead,
    switchTo: { path: nextPath, format: 'qcow2' },
    // The machine's own switch is the freeze; a machine that is stopped opens the new head next time.
    commit: () => Promise.resolve(),
    async settle() {
      await makeLayerFile(layerPath, 'every machine');
      await syncPath(layerPath);
      await syncPath(nextPath);
      if (former) await rm(headPath, { force: true });
      await syncPath(path.dirname(nextPath));
    },
    abort: remove,
  };
}

async function linkOnce(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
  }
}
