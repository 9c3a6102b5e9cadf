/** An image out of an archive, looked at before anything opens it: it will be the base of machines' disks. */
import { readHeader } from '../../storage/qcow2/header.ts';
import { imageDamage } from '../../storage/qemuImg.ts';
import { archiveInvalid } from './archiveErrors.ts';

/** Dirty, compression by zstd, extended L2: ours or harmless. */
const knownFeatures = 1n | 8n | 16n;

/**
 * The file keeps its bytes, since its digest is its name: what does not suit is refused, not mended.
 * @throws CoppiceError `archive_invalid`
 */
export async function requireSoundImage(file: string, virtualBytes: number): Promise<void> {
  const where = 'image.qcow2';
  const header = await readHeader(file);
  if (typeof header === 'string') throw archiveInvalid(header, where);
  if (header.backingPath !== undefined) throw archiveInvalid('it stands on another file', where);
  if (header.externalData) throw archiveInvalid('it keeps its data in another file', where);
  if (header.encrypted) throw archiveInvalid('it is encrypted', where);
  if ((header.incompatible & ~knownFeatures) !== 0n) {
    throw archiveInvalid('it uses a feature that is not known', where);
  }
  if (header.snapshots !== 0) throw archiveInvalid('it holds snapshots of its own', where);
  if (header.virtualBytes !== virtualBytes) {
    throw archiveInvalid('its size is not the one the archive names', where);
  }
  const clusterBytes = 2 ** header.clusterBits;
  const perTable = (clusterBytes / 8) * clusterBytes;
  if (header.l1Entries > Math.max(1, Math.ceil(virtualBytes / perTable)) * 4) {
    throw archiveInvalid('its tables are larger than its disk', where);
  }
  const damage = await imageDamage(file);
  if (damage !== undefined) throw archiveInvalid(damage, where);
}
