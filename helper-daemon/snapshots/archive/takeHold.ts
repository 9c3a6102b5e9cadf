/** Takes hold of everything that an archive is made of, so that it can change or go without harm. */
import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { CoppiceError } from '../../../protocol/errors.ts';
import type { Base } from '../../storage/backend.ts';
import { readHeader } from '../../storage/qcow2/header.ts';
import type { LayerRecord } from '../../store/treeStore.ts';
import type { WorkspaceRecord } from '../../store/workspaceStore.ts';
import { makeDirectory } from '../../system/directory.ts';
import { version } from '../../system/version.ts';
import { requireDisk } from '../../workspaces/admission.ts';
import { workspaceDirectories } from '../../workspaces/directories.ts';
import { layerLock, requireUnchanged } from '../../workspaces/heads.ts';
import type { WorkspaceServices } from '../../workspaces/services.ts';
import { holdFile, sha256Of, takeFile, type HeldFile } from './heldFile.ts';
import {
  encodeManifest,
  formatVersion,
  manifestLimit,
  type ArchivedLayer,
  type ArchiveManifest,
} from './manifest.ts';
import { samePlan, type ExportPlan } from './plan.ts';

export interface ExportOptions {
  readonly signal: AbortSignal;
  readonly progress: (message: string, fraction?: number) => void;
}

/** By the id of the layer or memory, or the digest of the image. */
export type Held = Map<string, HeldFile>;

/** The caller holds the workspace's lock, so only merges in the background can change what is planned. */
export async function takeHold(
  services: WorkspaceServices,
  plan: () => ExportPlan,
  includeImage: boolean,
  held: Held,
  options: ExportOptions,
): Promise<ArchiveManifest> {
  for (;;) {
    const planned = plan();
    for (const layer of planned.layers) await requireUnchanged(services, layer);
    const ids = planned.layers.map(({ id }) => id).sort();
    const manifest = await holdingLayers(services, ids, async () => {
      const now = plan();
      // Merged meanwhile: each round has fewer layers.
      return samePlan(planned, now)
        ? await holdEverything(services, now, includeImage, held, options)
        : undefined;
    });
    if (manifest !== undefined) return manifest;
  }
}

/** Always in the same order, so that two exports cannot wait for each other. */
async function holdingLayers<T>(
  services: WorkspaceServices,
  [first, ...others]: readonly string[],
  work: () => Promise<T>,
): Promise<T> {
  if (first === undefined) return await work();
  return await services.locks.run(layerLock(first), () => holdingLayers(services, others, work));
}

async function holdEverything(
  services: WorkspaceServices,
  plan: ExportPlan,
  includeImage: boolean,
  held: Held,
  options: ExportOptions,
): Promise<ArchiveManifest> {
  const { workspace, layers, memories } = plan;
  await requireDisk(
    services.paths.state,
    layers.reduce((sum, { bytes }) => sum + bytes, 0),
  );
  const image = await services.images.requireDigest(workspace.imageName, workspace.imageDigest);
  if (includeImage) held.set(image.digest, await holdFile(image.path));
  for (const { id } of memories) {
    held.set(id, await holdFile(services.memories.file(id)).catch(memoryMissing(id)));
  }
  const imageBase: Base = {
    kind: 'image',
    path: image.path,
    digest: image.digest,
    virtualBytes: image.virtualBytes,
  };
  const archived = await exportLayers(services, layers, imageBase, held, options);
  const manifest = describe(plan, archived, {
    name: image.name,
    digest: image.digest,
    bytes: services.images.fileBytes(image.digest),
    virtual_bytes: image.virtualBytes,
    included: includeImage,
  });
  if (encodeManifest(manifest).length > manifestLimit) throw tooManySnapshots(workspace);
  return manifest;
}

/** Copies each layer out of the storage; the copies have no names and go with their descriptors. */
async function exportLayers(
  services: WorkspaceServices,
  layers: readonly LayerRecord[],
  image: Base,
  held: Held,
  { signal, progress }: ExportOptions,
): Promise<ArchivedLayer[]> {
  // A directory that a starting daemon removes, as it does with all that belong to no workspace.
  const { state: directory } = workspaceDirectories(services.paths, randomUUID());
  await makeDirectory(directory, 0o700);
  const locators = new Map(layers.map(({ id, locator }) => [id, locator]));
  try {
    const archived: ArchivedLayer[] = [];
    for (const { id, storage, locator, parentId } of layers) {
      if (signal.aborted) throw cancelled();
      progress('Copying the disks', archived.length / layers.length);
      const below = parentId === null ? undefined : locators.get(parentId);
      const over: Base = below === undefined ? image : { kind: 'layer', locator: below };
      const file = path.join(directory, `${id}.qcow2`);
      await services.storages.named(storage).exportTo(locator, file, over);
      const header = await readHeader(file);
      if (typeof header === 'string') throw new Error(`the exported disk is damaged: ${header}`);
      const copy = await takeFile(file);
      held.set(id, copy);
      archived.push({
        id,
        parent: parentId,
        virtual_bytes: header.virtualBytes,
        bytes: copy.bytes,
        sha256: await sha256Of(copy),
      });
    }
    return archived;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function describe(
  { workspace, snapshots, memories, head }: ExportPlan,
  layers: ArchivedLayer[],
  image: ArchiveManifest['image'],
): ArchiveManifest {
  return {
    format: 'coppice-archive',
    version: formatVersion,
    creator: version,
    workspace: {
      name: workspace.name,
      vcpus: workspace.vcpus,
      memory_mb: workspace.memoryMb,
      disk_gb: head.diskGb,
      init: workspace.init,
      generation: workspace.generation,
    },
    image,
    layers,
    snapshots: snapshots.map((snapshot) => ({
      id: snapshot.id,
      name: snapshot.name,
      description: snapshot.description,
      parent: snapshot.parentId,
      layer: snapshot.layerId,
      memory: snapshot.memoryId,
      disk_gb: snapshot.diskGb,
      created_at: snapshot.createdAt,
    })),
    memories: memories.map((memory) => ({
      id: memory.id,
      binding: { ...memory.binding },
      channel_key: memory.channelKey,
      memory_mb: memory.memoryMb,
      bytes: memory.bytes,
      sha256: memory.sha256,
    })),
    head: { layer: head.layerId, snapshot: head.snapshotId },
  };
}

function cancelled(): CoppiceError {
  return new CoppiceError({ code: 'cancelled', message: 'The export was cancelled.' });
}

function memoryMissing(id: string): (error: unknown) => never {
  return (error) => {
    throw new CoppiceError(
      {
        code: 'memory_missing',
        message: `The memory image ${id} cannot be opened.`,
        next: 'Export without memory.',
      },
      { cause: error },
    );
  };
}

function tooManySnapshots({ name }: WorkspaceRecord): CoppiceError {
  return new CoppiceError({
    code: 'limit_exceeded',
    message: `The snapshots of ${name} have more to say than an archive's ${String(manifestLimit / 1024 ** 2)} MiB of description can hold.`,
    next: 'Shorten descriptions, delete snapshots, or export single snapshots.',
  });
}
