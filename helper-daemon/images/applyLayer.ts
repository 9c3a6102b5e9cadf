/** Applies one tar to the tree of an image: a whole root file system, or an OCI layer with its whiteouts. */
import type { Readable } from 'node:stream';
import { imageInvalid, imageTooLarge, throwIfAborted } from './imageErrors.ts';
import { components, type Attributes, type Tree } from './ext4/tree.ts';
import { blockSize, type Extent, type Volume } from './ext4/volume.ts';
import { tarEntries, type TarEntry } from './tarEntries.ts';

export interface LayerOptions {
  /** Number of the layer, from 1; later layers hide what earlier ones wrote. */
  readonly layer: number;
  /** Names that begin with `.wh.` are whiteouts, as in OCI layers. */
  readonly whiteouts: boolean;
  readonly budget: Budget;
  readonly signal?: AbortSignal;
}

/** What all layers of one image together may take. */
export interface Budget {
  bytesLeft: number;
  readonly bytes: number;
}

/** What was left out, for the manifest. */
export interface LayerCounts {
  files: number;
  devices: number;
}

const whiteoutPrefix = '.wh.';
const opaqueMarker = '.wh..wh..opq';

export async function applyLayer(
  tree: Tree,
  volume: Volume,
  tar: Readable,
  options: LayerOptions,
): Promise<LayerCounts> {
  const counts = { files: 0, devices: 0 };
  for await (const entry of tarEntries(tar)) {
    throwIfAborted(options.signal, 'The import');
    const path = components(entry.path).join('/');
    if (options.whiteouts && applyWhiteout(tree, path, options.layer)) continue;
    counts.files += 1;
    switch (entry.kind) {
      case 'directory':
        tree.addDirectory(path, attributesOf(entry), options.layer);
        break;
      case 'link':
        tree.addHardLink(path, components(entry.linkTarget).join('/'), options.layer);
        break;
      case 'device':
        // The guest's kernel provides /dev; a node in the image could only be a trap.
        counts.devices += 1;
        break;
      case 'symlink':
        await addSymlink(tree, volume, path, entry, options.layer);
        break;
      case 'fifo':
        tree.addNode(path, { ...plain(entry), kind: 'fifo' }, options.layer);
        break;
      case 'file':
        await addFile(tree, volume, path, entry, options);
        break;
    }
  }
  return counts;
}

function applyWhiteout(tree: Tree, path: string, layer: number): boolean {
  const slash = path.lastIndexOf('/');
  const base = path.slice(slash + 1);
  if (!base.startsWith(whiteoutPrefix)) return false;
  const parent = slash < 0 ? '' : path.slice(0, slash);
  if (base === opaqueMarker) {
    tree.hideContents(parent, layer);
  } else if (!base.startsWith('.wh..wh.')) {
    const name = base.slice(whiteoutPrefix.length);
    if (name === '' || name === '.' || name === '..') {
      throw imageInvalid(`The layer holds a whiteout that names nothing: ${path.slice(0, 200)}`);
    }
    tree.hide(parent === '' ? name : `${parent}/${name}`, layer);
  }
  return true;
}

async function addFile(
  tree: Tree,
  volume: Volume,
  path: string,
  entry: TarEntry,
  options: LayerOptions,
): Promise<void> {
  const { budget } = options;
  // Before a block is taken: the declared size of a bomb is enough to refuse it.
  if (entry.size > budget.bytesLeft) {
    throw imageTooLarge(
      `The image unpacks to more than ${String(budget.bytes)} bytes.`,
      budget.bytes,
    );
  }
  budget.bytesLeft -= entry.size;
  const extents = volume.allocate(Math.ceil(entry.size / blockSize));
  await writeContent(volume, extents, entry, options.signal);
  tree.addNode(path, { ...plain(entry), kind: 'file', size: entry.size, extents }, options.layer);
}

/** Streams the content into the extents; the last block is filled up with zeros. */
async function writeContent(
  volume: Volume,
  extents: readonly Extent[],
  entry: TarEntry,
  signal: AbortSignal | undefined,
): Promise<void> {
  const blocks = blocksOf(extents);
  let pending: Buffer = Buffer.alloc(0);
  for await (const piece of entry.body()) {
    throwIfAborted(signal, 'The import');
    pending = pending.length === 0 ? piece : Buffer.concat([pending, piece]);
    while (pending.length >= blockSize) {
      const run = blocks.take(Math.floor(pending.length / blockSize));
      await volume.write(run.start, pending.subarray(0, run.count * blockSize));
      pending = pending.subarray(run.count * blockSize);
    }
  }
  if (pending.length > 0) {
    const last = Buffer.alloc(blockSize);
    pending.copy(last);
    await volume.write(blocks.take(1).start, last);
  }
}

function blocksOf(extents: readonly Extent[]): { take(wanted: number): Extent } {
  let index = 0;
  let used = 0;
  return {
    take(wanted) {
      const extent = extents[index] as Extent;
      const count = Math.min(wanted, extent.count - used);
      const run = { start: extent.start + used, count };
      used += count;
      if (used === extent.count) {
        index += 1;
        used = 0;
      }
      return run;
    },
  };
}

async function addSymlink(
  tree: Tree,
  volume: Volume,
  path: string,
  entry: TarEntry,
  layer: number,
): Promise<void> {
  const target = Buffer.from(entry.linkTarget, 'utf8');
  if (target.length === 0 || target.length >= blockSize || target.includes(0)) {
    throw imageInvalid(
      `The archive holds a symbolic link with an impossible target: ${path.slice(0, 200)}`,
    );
  }
  // Short targets live in the inode itself.
  let extents: readonly Extent[] = [];
  if (target.length >= 60) {
    extents = volume.allocate(1);
    const block = Buffer.alloc(blockSize);
    target.copy(block);
    await volume.write((extents[0] as Extent).start, block);
  }
  tree.addNode(
    path,
    { ...plain(entry), kind: 'symlink', size: target.length, extents, target },
    layer,
  );
}

function plain(entry: TarEntry): {
  attributes: Attributes;
  size: number;
  extents: readonly Extent[];
} {
  return { attributes: attributesOf(entry), size: 0, extents: [] };
}

function attributesOf(entry: TarEntry): Attributes {
  return {
    mode: entry.kind === 'symlink' ? 0o777 : entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    mtime: entry.mtime,
    ...(entry.xattrs.size === 0 ? {} : { xattrs: entry.xattrs }),
  };
}
