/**
 * An empty ext4 file system made by mke2fs, opened for filling.
 *
 * mke2fs decides the layout; this reads it, hands out blocks in ascending order, buffers writes, and at the
 * end puts bitmaps, group descriptors and the superblock back with their checksums.
 */
import { open, type FileHandle } from 'node:fs/promises';
import { imageInvalid } from '../imageErrors.ts';
import { crc32c, le32 } from './crc32c.ts';
import { VolumeFull } from './volumeFull.ts';

export const blockSize = 4096;
export const inodeSize = 256;
/** Longest run of an initialised extent. */
const maxRun = 32_768;
const descriptorSize = 64;
const bufferSize = 4 * 1024 * 1024;

const flagInodeUninit = 1;
const flagBlockUninit = 2;
const flagInodeZeroed = 4;

export interface Extent {
  readonly start: number;
  readonly count: number;
}

interface Group {
  readonly descriptor: Buffer;
  readonly blockBitmap: Buffer;
  readonly inodeBitmap: Buffer;
  readonly blockBitmapAt: number;
  readonly inodeBitmapAt: number;
  readonly inodeTableAt: number;
  blocksTouched: boolean;
  inodesTouched: boolean;
}

export interface Volume {
  readonly checksumSeed: number;
  readonly inodeCount: number;
  /** Runs of free blocks, ascending; throws VolumeFull when there are not enough. */
  allocate(blocks: number): readonly Extent[];
  release(extents: readonly Extent[]): void;
  write(block: number, bytes: Uint8Array): Promise<void>;
  readInode(number: number): Promise<Buffer>;
  writeInode(number: number, inode: Buffer, isDirectory: boolean): Promise<void>;
  /** Writes all bookkeeping; the volume is a clean file system after this. */
  finish(): Promise<void>;
  close(): Promise<void>;
}

export async function openVolume(path: string): Promise<Volume> {
  const file = await open(path, 'r+');
  try {
    return await readVolume(file);
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function readVolume(file: FileHandle): Promise<Volume> {
  const superblock = await readAt(file, 1024, 1024);
  if (superblock.readUInt16LE(0x38) !== 0xef53 || superblock.readUInt32LE(0x18) !== 2) {
    throw imageInvalid('mke2fs made a file system with an unexpected layout.');
  }
  const blocksPerGroup = superblock.readUInt32LE(0x20);
  const inodesPerGroup = superblock.readUInt32LE(0x28);
  const inodeCount = superblock.readUInt32LE(0);
  const blockCount = superblock.readUInt32LE(4) + superblock.readUInt32LE(0x150) * 2 ** 32;
  const groupCount = Math.ceil(blockCount / blocksPerGroup);
  const reservedDescriptorBlocks = superblock.readUInt16LE(0xce);
  const seed = crc32c(0xffffffff, superblock.subarray(0x68, 0x78));
  const descriptorBlocks = Math.ceil((groupCount * descriptorSize) / blockSize);
  const descriptors = await readAt(file, blockSize, descriptorBlocks * blockSize);

  const groups: Group[] = [];
  for (let index = 0; index < groupCount; index += 1) {
    const descriptor = descriptors.subarray(index * descriptorSize, (index + 1) * descriptorSize);
    const blockBitmapAt = split64(descriptor, 0x00, 0x20);
    const inodeBitmapAt = split64(descriptor, 0x04, 0x24);
    const flags = descriptor.readUInt16LE(0x12);
    const inodeBitmap =
      (flags & flagInodeUninit) === 0
        ? await readAt(file, inodeBitmapAt * blockSize, blockSize)
        : Buffer.alloc(blockSize).fill(0xff, inodesPerGroup / 8);
    groups.push({
      descriptor,
      blockBitmap:
        (flags & flagBlockUninit) === 0
          ? await readAt(file, blockBitmapAt * blockSize, blockSize)
          : Buffer.alloc(blockSize),
      inodeBitmap,
      blockBitmapAt,
      inodeBitmapAt,
      inodeTableAt: split64(descriptor, 0x08, 0x28),
      blocksTouched: false,
      inodesTouched: false,
    });
  }
  const used = (block: number): boolean => {
    const bitmap = (groups[Math.floor(block / blocksPerGroup)] as Group).blockBitmap;
    return testBit(bitmap, block % blocksPerGroup);
  };
  const mark = (block: number, value: boolean): void => {
    const group = groups[Math.floor(block / blocksPerGroup)] as Group;
    setBit(group.blockBitmap, block % blocksPerGroup, value);
  };
  // The bitmap of a group that mke2fs left uninitialised holds its metadata and nothing else.
  groups.forEach((group, index) => {
    const uninit = (flags: Group): boolean =>
      (flags.descriptor.readUInt16LE(0x12) & flagBlockUninit) !== 0;
    if (uninit(group) && hasSuperblockCopy(index)) {
      const first = index * blocksPerGroup;
      for (let n = 0; n < 1 + descriptorBlocks + reservedDescriptorBlocks; n += 1) {
        mark(first + n, true);
      }
    }
    mark(group.blockBitmapAt, true);
    mark(group.inodeBitmapAt, true);
    const tableBlocks = (inodesPerGroup * inodeSize) / blockSize;
    for (let n = 0; n < tableBlocks; n += 1) mark(group.inodeTableAt + n, true);
  });

  let next = 1;
  const buffered = bufferedWriter(file);
  const inodeAt = (number: number): number => {
    const group = groups[Math.floor((number - 1) / inodesPerGroup)] as Group;
    return group.inodeTableAt * blockSize + ((number - 1) % inodesPerGroup) * inodeSize;
  };
  const touch = (extent: Extent, value: boolean): void => {
    for (let block = extent.start; block < extent.start + extent.count; block += 1) {
      mark(block, value);
      (groups[Math.floor(block / blocksPerGroup)] as Group).blocksTouched = true;
    }
  };

  return {
    checksumSeed: seed,
    inodeCount,
    allocate(blocks) {
      const extents: Extent[] = [];
      let missing = blocks;
      while (missing > 0) {
        while (next < blockCount && used(next)) next += 1;
        if (next >= blockCount) throw new VolumeFull();
        const start = next;
        while (next < blockCount && next - start < Math.min(missing, maxRun) && !used(next)) {
          next += 1;
        }
        extents.push({ start, count: next - start });
        missing -= next - start;
      }
      for (const extent of extents) touch(extent, true);
      return extents;
    },
    release(extents) {
      for (const extent of extents) touch(extent, false);
    },
    write: (block, bytes) => buffered.write(block * blockSize, bytes),
    readInode: (number) => readAt(file, inodeAt(number), inodeSize),
    async writeInode(number, inode, isDirectory) {
      const index = Math.floor((number - 1) / inodesPerGroup);
      const group = groups[index] as Group;
      const bit = (number - 1) % inodesPerGroup;
      if (isDirectory && !testBit(group.inodeBitmap, bit)) {
        writeSplit16(group.descriptor, 0x10, 0x30, split16(group.descriptor, 0x10, 0x30) + 1);
      }
      setBit(group.inodeBitmap, bit, true);
      group.inodesTouched = true;
      await buffered.write(inodeAt(number), inode);
    },
    async finish() {
      let freeBlocks = 0;
      let freeInodes = 0;
      for (const [index, group] of groups.entries()) {
        freeBlocks += await writeGroup(group, index, groupSize(index));
        freeInodes += split16(group.descriptor, 0x0e, 0x2e);
      }
      await buffered.write(blockSize, descriptors);
      superblock.writeUInt32LE(freeBlocks >>> 0, 0x0c);
      superblock.writeUInt32LE(Math.floor(freeBlocks / 2 ** 32), 0x158);
      superblock.writeUInt32LE(freeInodes, 0x10);
      superblock.writeUInt32LE(crc32c(0xffffffff, superblock.subarray(0, 0x3fc)), 0x3fc);
      await buffered.write(1024, superblock);
      await buffered.flush();
      await file.sync();
    },
    close: () => file.close(),
  };

  function groupSize(index: number): number {
    return Math.min(blocksPerGroup, blockCount - index * blocksPerGroup);
  }

  async function writeGroup(group: Group, index: number, blocks: number): Promise<number> {
    const { descriptor } = group;
    // The backing file began as a hole, so every inode table is zero already.
    let flags = descriptor.readUInt16LE(0x12) | flagInodeZeroed;
    let free = split16(descriptor, 0x0c, 0x2c);
    if (group.blocksTouched) {
      flags &= ~flagBlockUninit;
      free = blocks - countBits(group.blockBitmap, blocks);
      writeSplit16(descriptor, 0x0c, 0x2c, free);
      const sum = crc32c(seed, group.blockBitmap.subarray(0, blocksPerGroup / 8));
      writeSplit16(descriptor, 0x18, 0x38, sum);
      await buffered.write(group.blockBitmapAt * blockSize, group.blockBitmap);
    }
    if (group.inodesTouched) {
      flags &= ~flagInodeUninit;
      const inodes = countBits(group.inodeBitmap, inodesPerGroup);
      writeSplit16(descriptor, 0x0e, 0x2e, inodesPerGroup - inodes);
      let highest = inodesPerGroup;
      while (highest > 0 && !testBit(group.inodeBitmap, highest - 1)) highest -= 1;
      writeSplit16(descriptor, 0x1c, 0x32, inodesPerGroup - highest);
      const sum = crc32c(seed, group.inodeBitmap.subarray(0, inodesPerGroup / 8));
      writeSplit16(descriptor, 0x1a, 0x3a, sum);
      await buffered.write(group.inodeBitmapAt * blockSize, group.inodeBitmap);
    }
    descriptor.writeUInt16LE(flags, 0x12);
    descriptor.writeUInt16LE(0, 0x1e);
    descriptor.writeUInt16LE(crc32c(crc32c(seed, le32(index)), descriptor) & 0xffff, 0x1e);
    return free;
  }
}

/** sparse_super: groups 0, 1 and the powers of 3, 5 and 7. */
function hasSuperblockCopy(index: number): boolean {
  if (index <= 1) return true;
  return [3, 5, 7].some((base) => {
    let power = base;
    while (power < index) power *= base;
    return power === index;
  });
}

/** Joins neighbouring writes; files are laid out one after the other, so most are neighbours. */
function bufferedWriter(file: FileHandle): {
  write(position: number, bytes: Uint8Array): Promise<void>;
  flush(): Promise<void>;
} {
  const buffer = Buffer.allocUnsafe(bufferSize);
  let start = 0;
  let length = 0;
  const flush = async (): Promise<void> => {
    if (length > 0) await writeAll(file, buffer.subarray(0, length), start);
    length = 0;
  };
  return {
    flush,
    async write(position, bytes) {
      if (position !== start + length || length + bytes.length > bufferSize) {
        await flush();
        start = position;
      }
      if (bytes.length > bufferSize) {
        await writeAll(file, bytes, position);
        start = position + bytes.length;
        return;
      }
      buffer.set(bytes, length);
      length += bytes.length;
    },
  };
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  await file.read(bytes, 0, length, position);
  return bytes;
}

function split64(bytes: Buffer, low: number, high: number): number {
  return bytes.readUInt32LE(low) + bytes.readUInt32LE(high) * 2 ** 32;
}

function split16(bytes: Buffer, low: number, high: number): number {
  return bytes.readUInt16LE(low) + bytes.readUInt16LE(high) * 2 ** 16;
}

function writeSplit16(bytes: Buffer, low: number, high: number, value: number): void {
  bytes.writeUInt16LE(value & 0xffff, low);
  bytes.writeUInt16LE((value >>> 16) & 0xffff, high);
}

function testBit(bits: Buffer, index: number): boolean {
  return (((bits[index >> 3] as number) >> (index & 7)) & 1) === 1;
}

function setBit(bits: Buffer, index: number, value: boolean): void {
  const byte = bits[index >> 3] as number;
  bits[index >> 3] = value ? byte | (1 << (index & 7)) : byte & ~(1 << (index & 7));
}

function countBits(bits: Buffer, length: number): number {
  let count = 0;
  for (let index = 0; index < length; index += 1) if (testBit(bits, index)) count += 1;
  return count;
}
