/** What the schema of a manifest cannot say: references lead somewhere, trees are trees, sizes fit together. */
import { limits } from '../../../protocol/limits.ts';
import { archiveInvalid } from './archiveErrors.ts';
import type { ArchiveManifest } from './manifest.ts';

const gib = 1024 ** 3;
const largestDisk = limits.diskGb.max * gib;
/** Tables of a qcow2 file, and what surrounds memory in its file, generously. */
const overheadShare = 1 / 8;
const diskOverhead = 64 * 1024 ** 2;
const memoryOverhead = 256 * 1024 ** 2;
/** Deeper than anything that is exported; each level costs an open file. */
const deepest = 2 * limits.snapshots.max;

/** @throws CoppiceError `archive_invalid` */
export function requireSoundTree(manifest: ArchiveManifest): void {
  const virtualBytes = checkLayers(manifest);
  checkMemories(manifest);
  checkSnapshots(manifest, virtualBytes);
  checkHead(manifest, virtualBytes);
  checkNeeded(manifest);
}

/** Parents come before children, which also means that nothing leads back to itself. */
function checkLayers({ image, layers }: ArchiveManifest): Map<string, number> {
  const sizes = new Map<string, number>();
  const depths = new Map<string, number>();
  if (image.virtual_bytes > largestDisk) throw wrong('image', 'its disk is too large');
  checkSize('image', image.bytes, image.virtual_bytes, diskOverhead);
  for (const { id, parent, virtual_bytes, bytes } of layers) {
    const where = `layer ${id}`;
    if (sizes.has(id)) throw wrong(where, 'it is there twice');
    const below = parent === null ? image.virtual_bytes : sizes.get(parent);
    if (below === undefined) throw wrong(where, 'its parent does not come before it');
    if (virtual_bytes < below) throw wrong(where, 'it is smaller than what it stands on');
    if (virtual_bytes > largestDisk) throw wrong(where, 'its disk is too large');
    checkSize(where, bytes, virtual_bytes, diskOverhead);
    const depth = parent === null ? 1 : (depths.get(parent) ?? 0) + 1;
    if (depth > deepest) throw wrong(where, 'it stands on too many others');
    sizes.set(id, virtual_bytes);
    depths.set(id, depth);
  }
  return sizes;
}

function checkMemories({ memories, snapshots }: ArchiveManifest): void {
  const known = new Set<string>();
  const used = new Set(snapshots.map(({ memory }) => memory));
  for (const { id, bytes, memory_mb } of memories) {
    const where = `memory ${id}`;
    if (known.has(id)) throw wrong(where, 'it is there twice');
    if (!used.has(id)) throw wrong(where, 'no snapshot has it');
    checkSize(where, bytes, memory_mb * 1024 ** 2, memoryOverhead);
    known.add(id);
  }
}

function checkSnapshots(
  { snapshots, memories }: ArchiveManifest,
  virtualBytes: ReadonlyMap<string, number>,
): void {
  const known = new Set<string>();
  const names = new Set<string>();
  const kept = new Set(memories.map(({ id }) => id));
  for (const { id, name, parent, layer, memory, disk_gb } of snapshots) {
    const where = `snapshot ${name}`;
    if (known.has(id) || names.has(name)) throw wrong(where, 'it is there twice');
    if (parent !== null && !known.has(parent)) {
      throw wrong(where, 'its parent does not come before it');
    }
    const size = virtualBytes.get(layer);
    if (size === undefined) throw wrong(where, 'its layer is not in the archive');
    if (size > disk_gb * gib) throw wrong(where, 'its disk is smaller than its layer');
    if (memory !== null && !kept.has(memory)) {
      throw wrong(where, 'its memory is not in the archive');
    }
    known.add(id);
    names.add(name);
  }
}

function checkHead(
  { head, workspace, snapshots }: ArchiveManifest,
  virtualBytes: ReadonlyMap<string, number>,
): void {
  const size = virtualBytes.get(head.layer);
  if (size === undefined) throw wrong('head', 'its layer is not in the archive');
  if (size > workspace.disk_gb * gib) throw wrong('head', 'its disk is smaller than its layer');
  if (head.snapshot !== null && !snapshots.some(({ id }) => id === head.snapshot)) {
    throw wrong('head', 'its snapshot is not in the archive');
  }
}

function checkNeeded({ layers, snapshots, head }: ArchiveManifest): void {
  const needed = new Set([head.layer, ...snapshots.map(({ layer }) => layer)]);
  // Children come after their parents: from the end, each need is known before it is asked for.
  for (const { id, parent } of layers.toReversed()) {
    if (!needed.has(id)) throw wrong(`layer ${id}`, 'nothing stands on it');
    if (parent !== null) needed.add(parent);
  }
}

function checkSize(where: string, bytes: number, content: number, overhead: number): void {
  if (bytes > content * (1 + overheadShare) + overhead) {
    throw wrong(where, 'its file is far larger than what is in it');
  }
}

function wrong(where: string, problem: string): Error {
  return archiveInvalid(problem, `coppice.json, ${where}`);
}
