/** From the files of an archive to an image, layers and memory of this daemon. */
import { chmod, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import type { Base, BaseImage, StorageBackend } from '../../storage/backend.ts';
import type { LayerRecord, MemoryRecord } from '../../store/treeStore.ts';
import { makeDirectory } from '../../system/directory.ts';
import { directoryMode } from '../../system/paths.ts';
import type { WorkspaceServices } from '../../workspaces/services.ts';
import { requireSoundImage } from './arrivingImage.ts';
import { entriesOf, type ArchiveEntry } from './entries.ts';
import type { ArchiveManifest } from './manifest.ts';
import { renameMemory } from './memoryIdentity.ts';
import type { NewIds } from './newIds.ts';
import type { UnpackDirectory } from './unpackDirectory.ts';

/** An import under way. */
export interface Making {
  /** Of the workspace that is to be. */
  readonly id: string;
  readonly name: string;
  readonly owner: string | null;
  readonly manifest: ArchiveManifest;
  readonly ids: NewIds;
  /** Of the journal. */
  readonly entry: number;
  readonly files: UnpackDirectory;
  readonly storage: StorageBackend;
  /** Made so far, parents first; their rows come later. */
  readonly layers: LayerRecord[];
  readonly memories: MemoryRecord[];
}

/**
 * The image in the catalogue's directory. Unless it was there before, it has no name yet.
 * @throws CoppiceError `archive_invalid`, `image_missing`, `image_corrupt`
 */
export async function makeImage(
  services: WorkspaceServices,
  { manifest, files }: Making,
): Promise<BaseImage> {
  const { name, digest, bytes, virtual_bytes } = manifest.image;
  const [entry] = entriesOf(manifest);
  if (entry?.kind === 'image' && !services.images.hasFile(digest)) {
    const file = files.file(entry);
    await requireSoundImage(file, virtual_bytes);
    await services.images.adopt({
      path: file,
      sha256: entry.sha256,
      sizeBytes: bytes,
      virtualBytes: virtual_bytes,
    });
  }
  const { path: location, virtualBytes } = await services.images.requireDigest(name, digest);
  return { kind: 'image', path: location, digest, virtualBytes };
}

/** @throws CoppiceError `archive_invalid`, `no_space` */
export async function makeLayers(
  services: WorkspaceServices,
  making: Making,
  image: BaseImage,
): Promise<void> {
  const { manifest, ids, storage, files, layers } = making;
  const entries = byId(manifest);
  const locators = new Map<string, string>();
  for (const { id, parent, virtual_bytes } of manifest.layers) {
    const below = parent === null ? undefined : locators.get(parent);
    const file = files.file(entryOf(entries, id));
    const base: Base = below === undefined ? image : { kind: 'layer', locator: below };
    const locator = await storage.importLayer({
      id: ids.layer(id),
      file,
      base,
      virtualBytes: virtual_bytes,
    });
    await rm(file);
    locators.set(id, locator);
    layers.push({
      id: ids.layer(id),
      storage: storage.name,
      locator,
      parentId: parent === null ? null : ids.layer(parent),
      imageDigest: image.digest,
      virtualBytes: virtual_bytes,
      ...(await storage.stamp(locator)),
      sha256: null,
      createdAt: services.now().toISOString(),
    });
  }
}

/** @throws CoppiceError `archive_invalid` */
export async function makeMemories(services: WorkspaceServices, making: Making): Promise<void> {
  const { manifest, ids, files, memories } = making;
  const entries = byId(manifest);
  for (const { id, binding, channel_key, memory_mb, bytes } of manifest.memories) {
    const newId = ids.memory(id);
    const file = files.file(entryOf(entries, id));
    const sha256 = await renameMemory(file, id, newId);
    const target = services.memories.file(newId);
    await makeDirectory(path.dirname(target), directoryMode(services.paths.mode));
    await chmod(file, 0o600);
    memories.push({
      id: newId,
      binding,
      channelKey: channel_key,
      memoryMb: memory_mb,
      sha256,
      bytes,
      createdAt: services.now().toISOString(),
    });
    await rename(file, target);
  }
}

function byId(manifest: ArchiveManifest): ReadonlyMap<string, ArchiveEntry> {
  return new Map(entriesOf(manifest).map((entry) => [entry.id, entry]));
}

function entryOf(entries: ReadonlyMap<string, ArchiveEntry>, id: string): ArchiveEntry {
  const entry = entries.get(id);
  if (entry === undefined) throw new Error(`${id} has no entry`);
  return entry;
}
