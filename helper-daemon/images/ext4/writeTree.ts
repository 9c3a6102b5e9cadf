/** Writes a finished tree into a volume: inode numbers, directories, inodes; contents are there already. */
import { crc32c, le32 } from './crc32c.ts';
import { extentRoot } from './extentTree.ts';
import type { Attributes, NodeKind, Tree, TreeNode } from './tree.ts';
import { blockSize, inodeSize, type Extent, type Volume } from './volume.ts';
import { VolumeFull } from './volumeFull.ts';
import { encodable, inlineOffset, inlineXattrs, xattrBlock } from './xattrs.ts';

const rootInode = 2;
const lostFoundInode = 11;
const firstFreeInode = 12;
const flagExtents = 0x80000;
const dirTail = 12;

const modeBits: Readonly<Record<NodeKind, number>> = {
  file: 0o100000,
  directory: 0o040000,
  symlink: 0o120000,
  fifo: 0o010000,
  socket: 0o140000,
};
const typeByte: Readonly<Record<NodeKind, number>> = {
  file: 1,
  directory: 2,
  symlink: 7,
  fifo: 5,
  socket: 6,
};

interface DirectoryEntry {
  readonly name: Buffer;
  readonly inode: number;
  readonly type: number;
}

export async function writeTree(volume: Volume, tree: Tree): Promise<void> {
  // mke2fs made lost+found; fsck needs that one and no other.
  tree.root.children?.delete('lost+found');
  const old = await volume.readInode(rootInode);
  volume.release([{ start: old.readUInt32LE(0x28 + 12 + 8), count: 1 }]);

  const numbers = numberNodes(volume, tree.root);
  for (const [node, number] of numbers) {
    const isRoot = number === rootInode;
    if (node.kind === 'directory') await writeDirectory(volume, node, number, numbers, isRoot);
    else await writeNode(volume, node, number);
  }
}

/** Parents before children and names in byte order, so that equal content gives equal bytes. */
function numberNodes(volume: Volume, root: TreeNode): ReadonlyMap<TreeNode, number> {
  const numbers = new Map<TreeNode, number>([[root, rootInode]]);
  let next = firstFreeInode;
  // A Map may grow while it is walked: this is a breadth-first walk.
  for (const [node] of numbers) {
    for (const [, child] of sortedChildren(node)) {
      if (numbers.has(child)) continue;
      if (next > volume.inodeCount) throw new VolumeFull();
      numbers.set(child, next);
      next += 1;
    }
  }
  parents.set(root, rootInode);
  for (const [node, number] of numbers) {
    for (const [, child] of sortedChildren(node)) {
      if (child.kind === 'directory') parents.set(child, number);
    }
  }
  return numbers;
}

const parents = new WeakMap<TreeNode, number>();

function sortedChildren(node: TreeNode): readonly (readonly [string, TreeNode])[] {
  return [...(node.children ?? [])]
    .map(([name, entry]) => [name, entry.node] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

async function writeDirectory(
  volume: Volume,
  node: TreeNode,
  number: number,
  numbers: ReadonlyMap<TreeNode, number>,
  isRoot: boolean,
): Promise<void> {
  const entries: DirectoryEntry[] = [
    { name: Buffer.from('.'), inode: number, type: 2 },
    { name: Buffer.from('..'), inode: parents.get(node) as number, type: 2 },
    ...(isRoot ? [{ name: Buffer.from('lost+found'), inode: lostFoundInode, type: 2 }] : []),
  ];
  let subdirectories = isRoot ? 1 : 0;
  for (const [name, child] of sortedChildren(node)) {
    entries.push({
      name: Buffer.from(name),
      inode: numbers.get(child) as number,
      type: typeByte[child.kind],
    });
    if (child.kind === 'directory') subdirectories += 1;
  }
  const blocks = directoryBlocks(entries, checksumSeed(volume, number));
  const extents = volume.allocate(blocks.length);
  await writeExtents(volume, extents, blocks);
  // Above this ext4 stops counting (dir_nlink).
  const links = subdirectories + 2 > 65_000 ? 1 : subdirectories + 2;
  await writeInode(volume, number, node, { links, size: blocks.length * blockSize, extents });
}

function directoryBlocks(entries: readonly DirectoryEntry[], seed: number): readonly Buffer[] {
  const blocks: Buffer[] = [];
  const usable = blockSize - dirTail;
  let block = Buffer.alloc(blockSize);
  let at = 0;
  let last = 0;
  const close = (): void => {
    block.writeUInt16LE(usable - last, last + 4);
    block.writeUInt16LE(dirTail, usable + 4);
    block.writeUInt8(0xde, usable + 7);
    block.writeUInt32LE(crc32c(seed, block.subarray(0, usable)), usable + 8);
    blocks.push(block);
  };
  for (const entry of entries) {
    const length = 8 + Math.ceil(entry.name.length / 4) * 4;
    if (at + length > usable) {
      close();
      block = Buffer.alloc(blockSize);
      at = 0;
    }
    block.writeUInt32LE(entry.inode, at);
    block.writeUInt16LE(length, at + 4);
    block.writeUInt8(entry.name.length, at + 6);
    block.writeUInt8(entry.type, at + 7);
    block.set(entry.name, at + 8);
    last = at;
    at += length;
  }
  close();
  return blocks;
}

async function writeNode(volume: Volume, node: TreeNode, number: number): Promise<void> {
  await writeInode(volume, number, node, {
    links: Math.min(node.links, 65_000),
    size: node.size,
    extents: node.extents,
  });
}

async function writeInode(
  volume: Volume,
  number: number,
  node: TreeNode,
  content: { readonly links: number; readonly size: number; readonly extents: readonly Extent[] },
): Promise<void> {
  const { attributes } = node;
  const inode = Buffer.alloc(inodeSize);
  let blocks = content.extents.reduce((sum, extent) => sum + extent.count, 0);
  inode.writeUInt16LE(modeBits[node.kind] | (attributes.mode & 0o7777), 0x00);
  inode.writeUInt16LE(attributes.uid & 0xffff, 0x02);
  inode.writeUInt16LE(attributes.gid & 0xffff, 0x18);
  inode.writeUInt16LE(attributes.uid >>> 16, 0x78);
  inode.writeUInt16LE(attributes.gid >>> 16, 0x7a);
  inode.writeUInt32LE(content.size >>> 0, 0x04);
  inode.writeUInt32LE(Math.floor(content.size / 2 ** 32), 0x6c);
  inode.writeUInt16LE(content.links, 0x1a);
  inode.writeUInt16LE(32, 0x80); // extra bytes
  writeTimes(inode, attributes);

  if (node.kind === 'symlink' && content.extents.length === 0) {
    inode.set(node.target as Buffer, 0x28);
  } else if (node.kind !== 'fifo' && node.kind !== 'socket') {
    inode.writeUInt32LE(flagExtents, 0x20);
    const tree = extentRoot(content.extents, volume, checksumSeed(volume, number));
    inode.set(tree.root, 0x28);
    for (const { block, bytes } of tree.leaves) await volume.write(block, bytes);
    blocks += tree.leaves.length;
  }
  const xattrs = encodable(attributes.xattrs ?? new Map());
  if (xattrs.length > 0) {
    const inline = inlineXattrs(xattrs);
    if (inline !== undefined) inode.set(inline, inlineOffset);
    else {
      const block = (volume.allocate(1)[0] as Extent).start;
      await volume.write(block, xattrBlock(xattrs, block, volume.checksumSeed));
      inode.writeUInt32LE(block >>> 0, 0x68);
      inode.writeUInt16LE(Math.floor(block / 2 ** 32), 0x76);
      blocks += 1;
    }
  }
  const sectors = blocks * (blockSize / 512);
  inode.writeUInt32LE(sectors >>> 0, 0x1c);
  inode.writeUInt16LE(Math.floor(sectors / 2 ** 32), 0x74);
  const sum = crc32c(checksumSeed(volume, number), inode);
  inode.writeUInt16LE(sum & 0xffff, 0x7c);
  inode.writeUInt16LE(sum >>> 16, 0x82);
  await volume.writeInode(number, inode, node.kind === 'directory');
}

/** All four times are the modification time: an image has no other that would be the same tomorrow. */
function writeTimes(inode: Buffer, attributes: Attributes): void {
  const seconds = Math.max(
    -(2 ** 31),
    Math.min(Math.trunc(attributes.mtime), 2 ** 34 - 2 ** 31 - 1),
  );
  const epoch = Math.floor((seconds + 2 ** 31) / 2 ** 32);
  const extra = (((attributes.mtimeNs ?? 0) << 2) | epoch) >>> 0;
  for (const at of [0x08, 0x0c, 0x10, 0x90]) inode.writeInt32LE(seconds | 0, at);
  for (const at of [0x84, 0x88, 0x8c, 0x94]) inode.writeUInt32LE(extra, at);
}

/** Checksums of an inode's parts begin with its number and generation (always 0 here). */
function checksumSeed(volume: Volume, number: number): number {
  return crc32c(crc32c(volume.checksumSeed, le32(number)), le32(0));
}

/** Writes blocks one after the other into runs that together have their number. */
async function writeExtents(
  volume: Volume,
  extents: readonly Extent[],
  blocks: readonly Buffer[],
): Promise<void> {
  let index = 0;
  for (const extent of extents) {
    for (let n = 0; n < extent.count; n += 1) {
      await volume.write(extent.start + n, blocks[index] as Buffer);
      index += 1;
    }
  }
}
