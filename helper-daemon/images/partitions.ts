/** Finds the root file system on a disk image: bare, or in a partition of a GPT or MBR table. */
import type { FileHandle } from 'node:fs/promises';
import { imageInvalid } from './imageErrors.ts';

export interface DiskPart {
  readonly offset: number;
  readonly size: number;
}

const sector = 512;
/** The GPT type of an x86-64 root partition, in the byte order of the table. */
const rootType = 'e3bc684fcde8b14d96e7fbcaf984b709';
const maxPartitions = 128;

const repack =
  'Start the system elsewhere and pack its root: tar --numeric-owner --xattrs --one-file-system -C / -cf rootfs.tar . ; then import that.';

export async function findRoot(disk: FileHandle, size: number): Promise<DiskPart> {
  const bare = await fileSystemAt(disk, 0);
  if (bare === 'ext4') return { offset: 0, size };
  if (bare !== undefined) {
    throw imageInvalid(
      `The disk holds ${bare}; only ext4 can be used as the root of a workspace.`,
      repack,
    );
  }
  const partitions = await readTable(disk, size);
  if (partitions.length === 0) {
    throw imageInvalid('The disk has no file system and no partitions.', repack);
  }
  const found: string[] = [];
  const roots: (DiskPart & { readonly isRoot: boolean })[] = [];
  for (const partition of partitions) {
    const kind = await fileSystemAt(disk, partition.offset);
    found.push(kind ?? 'unknown');
    if (kind === 'ext4') roots.push({ ...partition, isRoot: partition.type === rootType });
  }
  const marked = roots.filter((part) => part.isRoot);
  const candidates = marked.length > 0 ? marked : roots.sort((a, b) => b.size - a.size);
  const [first, second] = candidates;
  if (first === undefined) {
    throw imageInvalid(`No partition of the disk holds ext4 (found: ${found.join(', ')}).`, repack);
  }
  // A boot partition is far smaller than its root; anything else is a guess.
  if (second !== undefined && second.size * 2 > first.size) {
    throw imageInvalid(
      'The disk has several ext4 partitions, and it is not clear which is the root.',
      repack,
    );
  }
  return { offset: first.offset, size: first.size };
}

interface Partition extends DiskPart {
  readonly type: string;
}

async function readTable(disk: FileHandle, size: number): Promise<readonly Partition[]> {
  const head = await read(disk, 0, 2 * sector);
  const parts =
    head.subarray(sector, sector + 8).toString('latin1') === 'EFI PART'
      ? await gptPartitions(disk, head.subarray(sector))
      : head.readUInt16LE(510) === 0xaa55
        ? mbrPartitions(head)
        : [];
  return parts.filter(
    (part) => part.size > 0 && part.offset > 0 && part.offset + part.size <= size,
  );
}

async function gptPartitions(disk: FileHandle, header: Buffer): Promise<readonly Partition[]> {
  const tableAt = Number(header.readBigUInt64LE(72)) * sector;
  const count = Math.min(header.readUInt32LE(80), maxPartitions);
  const entrySize = header.readUInt32LE(84);
  if (entrySize < 128 || entrySize > 4096) {
    throw imageInvalid('The disk has a damaged partition table.', repack);
  }
  const table = await read(disk, tableAt, count * entrySize);
  return Array.from({ length: count }, (_, index) => {
    const entry = table.subarray(index * entrySize, (index + 1) * entrySize);
    const first = Number(entry.readBigUInt64LE(32));
    const last = Number(entry.readBigUInt64LE(40));
    const type = entry.subarray(0, 16).toString('hex');
    return {
      type,
      offset: first * sector,
      size: /^0+$/.test(type) ? 0 : (last - first + 1) * sector,
    };
  });
}

function mbrPartitions(head: Buffer): readonly Partition[] {
  return [0, 1, 2, 3].map((index) => {
    const entry = head.subarray(446 + index * 16, 446 + (index + 1) * 16);
    const offset = entry.readUInt32LE(8) * sector;
    return { type: '', offset, size: entry[4] === 0 ? 0 : entry.readUInt32LE(12) * sector };
  });
}

async function fileSystemAt(disk: FileHandle, offset: number): Promise<string | undefined> {
  const head = await read(disk, offset, 128 * 1024);
  const text = (at: number, length: number): string =>
    head.subarray(at, at + length).toString('latin1');
  if (head.readUInt16LE(1080) === 0xef53) return 'ext4';
  if (head.readUInt32LE(1024) === 0xe0f5e1e2) return 'erofs';
  if (text(0, 4) === 'hsqs') return 'squashfs';
  if (text(0, 4) === 'XFSB') return 'xfs';
  if (text(65_600, 8) === '_BHRfS_M') return 'btrfs';
  if (text(0, 6) === 'LUKS\xba\xbe') return 'an encrypted volume (LUKS)';
  if (text(512, 8) === 'LABELONE') return 'an LVM volume';
  if (text(54, 3) === 'FAT' || text(82, 5) === 'FAT32') return 'FAT';
  if (text(3, 4) === 'NTFS') return 'NTFS';
  return undefined;
}

async function read(disk: FileHandle, offset: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  await disk.read(bytes, 0, length, offset);
  return bytes;
}
