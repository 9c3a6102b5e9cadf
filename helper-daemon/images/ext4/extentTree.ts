/** The extent tree of one inode: in the inode up to four runs, else one level of leaf blocks. */
import { imageTooLarge } from '../imageErrors.ts';
import { crc32c } from './crc32c.ts';
import { blockSize, type Extent, type Volume } from './volume.ts';

const magic = 0xf30a;
const inlineEntries = 4;
const leafEntries = Math.floor((blockSize - 12 - 4) / 12);

export interface ExtentRoot {
  /** The 60 bytes of i_block. */
  readonly root: Buffer;
  readonly leaves: readonly { readonly block: number; readonly bytes: Buffer }[];
}

export function extentRoot(extents: readonly Extent[], volume: Volume, seed: number): ExtentRoot {
  const root = Buffer.alloc(60);
  if (extents.length <= inlineEntries) {
    writeHeader(root, extents.length, inlineEntries, 0);
    writeExtents(root, extents, 0);
    return { root, leaves: [] };
  }
  const leafCount = Math.ceil(extents.length / leafEntries);
  if (leafCount > inlineEntries) {
    throw imageTooLarge(
      'A file of the image lies in too many pieces.',
      leafEntries * inlineEntries,
    );
  }
  writeHeader(root, leafCount, inlineEntries, 1);
  const leaves: { block: number; bytes: Buffer }[] = [];
  let logical = 0;
  for (let leaf = 0; leaf < leafCount; leaf += 1) {
    const part = extents.slice(leaf * leafEntries, (leaf + 1) * leafEntries);
    const block = (volume.allocate(1)[0] as Extent).start;
    const bytes = Buffer.alloc(blockSize);
    writeHeader(bytes, part.length, leafEntries, 0);
    const tail = 12 + leafEntries * 12;
    const entry = 12 + leaf * 12;
    root.writeUInt32LE(logical, entry);
    root.writeUInt32LE(block >>> 0, entry + 4);
    root.writeUInt16LE(Math.floor(block / 2 ** 32), entry + 8);
    logical = writeExtents(bytes, part, logical);
    bytes.writeUInt32LE(crc32c(seed, bytes.subarray(0, tail)), tail);
    leaves.push({ block, bytes });
  }
  return { root, leaves };
}

function writeHeader(bytes: Buffer, entries: number, max: number, depth: number): void {
  bytes.writeUInt16LE(magic, 0);
  bytes.writeUInt16LE(entries, 2);
  bytes.writeUInt16LE(max, 4);
  bytes.writeUInt16LE(depth, 6);
}

function writeExtents(bytes: Buffer, extents: readonly Extent[], firstLogical: number): number {
  let logical = firstLogical;
  extents.forEach((extent, index) => {
    const at = 12 + index * 12;
    bytes.writeUInt32LE(logical, at);
    bytes.writeUInt16LE(extent.count, at + 4);
    bytes.writeUInt16LE(Math.floor(extent.start / 2 ** 32), at + 6);
    bytes.writeUInt32LE(extent.start >>> 0, at + 8);
    logical += extent.count;
  });
  return logical;
}
