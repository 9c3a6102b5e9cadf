/**
 * Writes an empty qcow2 file: the same that `qemu-img create -o extended_l2=on,cluster_size=128k` makes,
 * which costs a process of 6 to 20 ms, a large part of a fork.
 *
 * Subclusters keep small random writes small: measured, 32 layers take 271 MiB instead of 3,883.
 */
import { open } from 'node:fs/promises';
import { extendedL2, placeBacking, type Backing } from './header.ts';

const magic = 0x514649fb;
const clusterBits = 17;
const clusterBytes = 2 ** clusterBits;
const headerLength = 112;
/** Entries of 16 bytes, as extended L2 has them. */
const bytesPerL2Table = (clusterBytes / 16) * clusterBytes;
const refcountTableAt = clusterBytes;
const refcountBlockAt = 2 * clusterBytes;
const l1At = 3 * clusterBytes;

/** The file must not exist yet. `virtualBytes` is rounded up to sectors. */
export async function writeEmptyOverlay(
  file: string,
  virtualBytes: number,
  backing: Backing | undefined,
): Promise<void> {
  const l1Entries = Math.max(1, Math.ceil(virtualBytes / bytesPerL2Table));
  const l1Clusters = Math.ceil((l1Entries * 8) / clusterBytes);
  const handle = await open(file, 'wx', 0o600);
  try {
    await handle.truncate(l1At + l1Clusters * clusterBytes);
    await handle.write(header(virtualBytes, l1Entries, backing), 0, undefined, 0);
    const table = Buffer.alloc(8);
    table.writeBigUInt64BE(BigInt(refcountBlockAt));
    await handle.write(table, 0, table.length, refcountTableAt);
    const counts = Buffer.alloc((3 + l1Clusters) * 2);
    for (let at = 0; at < counts.length; at += 2) counts.writeUInt16BE(1, at);
    await handle.write(counts, 0, counts.length, refcountBlockAt);
  } finally {
    await handle.close();
  }
}

function header(virtualBytes: number, l1Entries: number, backing: Backing | undefined): Buffer {
  const head = Buffer.alloc(4096);
  head.writeUInt32BE(magic, 0);
  head.writeUInt32BE(3, 4);
  head.writeUInt32BE(clusterBits, 20);
  head.writeBigUInt64BE(BigInt(Math.ceil(virtualBytes / 512) * 512), 24);
  head.writeUInt32BE(l1Entries, 36);
  head.writeBigUInt64BE(BigInt(l1At), 40);
  head.writeBigUInt64BE(BigInt(refcountTableAt), 48);
  head.writeUInt32BE(1, 56);
  head.writeBigUInt64BE(extendedL2, 72);
  // Reference counts of 16 bits.
  head.writeUInt32BE(4, 96);
  head.writeUInt32BE(headerLength, 100);
  placeBacking(head, headerLength, backing);
  return head;
}
