/**
 * Importing: the archive is unpacked into a directory of the workspace that is to be, and only when all of it
 * has been found sound are image, layers, memory and rows made, the rows last.
 */
import { randomUUID } from 'node:crypto';
import { CoppiceError } from '../../../protocol/errors.ts';
import type { ImportResult } from '../../../protocol/operations/archive.ts';
import type { StorageBackend } from '../../storage/backend.ts';
import { requireDisk } from '../../workspaces/admission.ts';
import { removeEverything } from '../../workspaces/destroy.ts';
import {
  makeWorkspaceDirectories,
  removeWorkspaceDirectories,
  workspaceDirectories,
} from '../../workspaces/directories.ts';
import { makeHead } from '../../workspaces/heads.ts';
import type { WorkspaceServices } from '../../workspaces/services.ts';
import { announce, changeState } from '../../workspaces/view.ts';
import { announceSnapshot } from '../view.ts';
import { entriesOf } from './entries.ts';
import { makeImage, makeLayers, makeMemories, type Making } from './importParts.ts';
import { insertRows } from './importRows.ts';
import type { ArchiveManifest } from './manifest.ts';
import { newIds } from './newIds.ts';
import { readArchive } from './readArchive.ts';
import { unpackDirectory } from './unpackDirectory.ts';

/**
 * @param wanted `name` of the workspace, that in the archive when undefined, and whom it belongs to
 * @throws CoppiceError see workspace_import in protocol/
 */
export async function importArchive(
  services: WorkspaceServices,
  wanted: { readonly name: string | undefined; readonly owner: string | null },
  chunks: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<ImportResult> {
  const id = randomUUID();
  let received = 0;
  async function* counted(): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      received += chunk.length;
      yield chunk;
    }
  }
  return await services.locks.run(id, async () => {
    let making: Making | undefined;
    try {
      await readArchive(counted(), async (manifest) => {
        making = await begin(services, id, wanted, manifest);
        return sinks(services, making);
      });
      if (making === undefined) throw new Error('the archive was not looked at');
      signal.throwIfAborted();
      await make(services, making);
      const { snapshots } = making.manifest;
      return { bytes: received, workspace_id: id, name: making.name, snapshots: snapshots.length };
    } catch (error) {
      if (making !== undefined) await undo(services, making);
      throw error;
    }
  });
}

/** Of an image that came with a workspace. */
const provenance = { imported: 'from an archive, with a workspace' };

/** Everything that can be refused by the description alone, then the record of what is about to be made. */
async function begin(
  services: WorkspaceServices,
  id: string,
  wanted: { readonly name: string | undefined; readonly owner: string | null },
  manifest: ArchiveManifest,
): Promise<Making> {
  const name = wanted.name ?? manifest.workspace.name;
  if (services.store.byName(name) !== undefined) throw nameTaken(name);
  const { image } = manifest;
  if (!image.included && !services.images.hasFile(image.digest)) throw imageMissing(manifest);
  const storage = services.storages.default();
  await requireRoom(services, storage, manifest);
  const ids = newIds(manifest);
  const entry = services.journal.begin('import', id, ids.detail);
  try {
    await makeWorkspaceDirectories(services.paths, id);
    const files = await unpackDirectory(workspaceDirectories(services.paths, id).state);
    return {
      id,
      name,
      owner: wanted.owner,
      manifest,
      ids,
      entry,
      files,
      storage,
      layers: [],
      memories: [],
    };
  } catch (error) {
    await removeWorkspaceDirectories(services.paths, id);
    services.journal.end(entry);
    throw error;
  }
}

function sinks(
  services: WorkspaceServices,
  { manifest, files }: Making,
): Awaited<ReturnType<Parameters<typeof readArchive>[1]>> {
  const known = services.images.hasFile(manifest.image.digest);
  return (entry) => (entry.kind === 'image' && known ? undefined : files.sink(entry));
}

/** Each unpacked layer is there twice while it is taken into the storage, one after the other. */
async function requireRoom(
  services: WorkspaceServices,
  storage: StorageBackend,
  manifest: ArchiveManifest,
): Promise<void> {
  const known = services.images.hasFile(manifest.image.digest);
  const unpacked = entriesOf(manifest)
    .filter(({ kind }) => kind !== 'image' || !known)
    .reduce((sum, { bytes }) => sum + bytes, 0);
  const layers = manifest.layers.map(({ bytes }) => bytes);
  await requireDisk(services.paths.state, unpacked + Math.max(...layers));
  const needed = layers.reduce((sum, bytes) => sum + bytes, 0);
  const { freeBytes } = await storage.space();
  if (freeBytes >= needed) return;
  throw new CoppiceError({
    code: 'no_space',
    message: `The storage has ${mib(freeBytes)} MiB free; the disks of the archive take ${mib(needed)} MiB.`,
    next: 'Destroy machines you no longer need, or give the storage more room.',
    details: { free_bytes: freeBytes, needed_bytes: needed },
  });
}

async function make(services: WorkspaceServices, making: Making): Promise<void> {
  const { id, entry, files, manifest, ids } = making;
  await services.images.holding(manifest.image.digest, async () => {
    const image = await makeImage(services, making);
    await makeLayers(services, making, image);
    await makeMemories(services, making);
    await files.remove();
    const record = insertRows(services, making);
    announce(services, id);
    await makeHead(services, record, ids.head);
    services.transaction(() => {
      services.journal.end(entry);
      // Last of all: what has a name is not removed after a crash.
      const imageName = services.images.nameFile(image.digest, manifest.image.name, provenance);
      changeState(services, id, { state: 'stopped', imageName });
    });
  });
  for (const snapshot of manifest.snapshots) announceSnapshot(services, ids.snapshot(snapshot.id));
}

async function undo(services: WorkspaceServices, making: Making): Promise<void> {
  const { id, entry, storage } = making;
  const record = services.store.byId(id);
  if (record !== undefined) {
    await removeEverything(services, record, entry);
    return;
  }
  try {
    for (const { locator } of making.layers.toReversed()) await storage.deleteLayer(locator);
    for (const memory of making.memories) await services.memories.remove(memory.id);
    await removeWorkspaceDirectories(services.paths, id);
  } finally {
    services.journal.end(entry);
  }
}

function nameTaken(name: string): CoppiceError {
  return new CoppiceError({
    code: 'name_taken',
    message: `There is already a workspace named ${name}.`,
    next: 'Import it under another name: coppice import FILE NAME.',
    details: { name },
  });
}

function imageMissing({ image }: ArchiveManifest): CoppiceError {
  return new CoppiceError({
    code: 'image_missing',
    message: `The archive was made without its image, and this host does not have it: ${image.name} (${image.digest}).`,
    next: 'Export it again with the image, or bring that very image here first: export any machine that is based on it.',
    details: { image: image.name, digest: image.digest },
  });
}

function mib(bytes: number): string {
  return String(Math.ceil(bytes / 1024 ** 2));
}
