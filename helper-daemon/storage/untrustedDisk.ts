/**
 * Disks of archives may come from strangers. The daemon's tools would open any file that their headers
 * name, and have had faults in how they read damaged ones: so a private copy is checked, and cleaned of
 * every name, before anything else opens it.
 */
import { constants } from 'node:fs';
import { chmod, open } from 'node:fs/promises';
import { copyDisk } from './diskFiles.ts';
import { extendedL2, readHeader, setBacking, type Qcow2Header } from './qcow2/header.ts';
import { imageDamage } from './qemuImg.ts';
import { archiveInvalid, errnoOf } from './storageErrors.ts';

/** Tables and reference counts of a qcow2 file that is written in every cluster, generously. */
const overheadBytes = 64 * 1024 ** 2;
const overheadShare = 1 / 8;

/**
 * Copies `file` to `part`, which then is a sound qcow2 file that stands on nothing.
 * @throws CoppiceError `archive_invalid`
 */
export async function copyUntrusted(
  file: string,
  part: string,
  virtualBytes: number,
): Promise<void> {
  await requirePlainFile(file, virtualBytes);
  await copyDisk(file, part);
  await chmod(part, 0o600);
  const header = await readHeader(part);
  if (typeof header === 'string') throw archiveInvalid(header);
  const problem = headerProblem(header, virtualBytes);
  if (problem !== undefined) throw archiveInvalid(problem);
  await setBacking(part, undefined);
  const damage = await imageDamage(part);
  if (damage !== undefined) throw archiveInvalid(damage);
}

async function requirePlainFile(file: string, virtualBytes: number): Promise<void> {
  const handle = await open(
    file,
    constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
  ).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') throw archiveInvalid('it is not there');
    if (errnoOf(error) === 'ELOOP') throw archiveInvalid('it is not a file');
    throw error;
  });
  try {
    const facts = await handle.stat();
    if (!facts.isFile()) throw archiveInvalid('it is not a file');
    if (facts.size > virtualBytes * (1 + overheadShare) + overheadBytes) {
      throw archiveInvalid('its file is far larger than the disk in it');
    }
  } finally {
    await handle.close();
  }
}

function headerProblem(header: Qcow2Header, virtualBytes: number): string | undefined {
  if (header.version !== 3) return 'it is not of qcow2 version 3';
  if (header.externalData) return 'it keeps its data in another file';
  if (header.encrypted) return 'it is encrypted';
  if ((header.incompatible & ~extendedL2) !== 0n) return 'it uses a feature that is not known';
  if (header.snapshots !== 0) return 'it holds snapshots of its own';
  if (header.clusterBits < 12) return 'its clusters are too small';
  if (header.virtualBytes !== virtualBytes) return 'its size is not the one the archive names';
  const clusterBytes = 2 ** header.clusterBits;
  const perTable = (clusterBytes / 16) * clusterBytes;
  if (header.l1Entries > Math.max(1, Math.ceil(virtualBytes / perTable)) * 2) {
    return 'its tables are larger than its disk';
  }
  const first = BigInt(clusterBytes);
  if (header.l1Offset < first || header.refcountTableOffset < first) {
    return 'its tables overlap its header';
  }
  return undefined;
}
