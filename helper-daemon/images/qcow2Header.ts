/**
 * Looks at a qcow2 header before QEMU does. A hostile one may name other files of the host, as its backing
 * or data file, and opening it would read them: such a file is refused unopened.
 */
import { open } from 'node:fs/promises';
import { imageCorrupt, imageInvalid } from './imageErrors.ts';

const headerSize = 104;
const dirty = 1n;
const corrupt = 2n;
const externalData = 4n;
const dataFileExtension = 0x44415441;
const maxExtensions = 64;

export interface Qcow2Facts {
  readonly clusterSize: number;
}

export async function requireSelfContained(path: string): Promise<Qcow2Facts> {
  const file = await open(path, 'r');
  try {
    const head = Buffer.alloc(64 * 1024);
    const { bytesRead } = await file.read(head, 0, head.length, 0);
    return checkQcow2Header(head.subarray(0, bytesRead));
  } finally {
    await file.close();
  }
}

export function checkQcow2Header(head: Buffer): Qcow2Facts {
  if (head.length < headerSize) throw imageCorrupt('The qcow2 file is truncated in its header.');
  const version = head.readUInt32BE(4);
  if (version !== 2 && version !== 3) {
    throw imageInvalid(`The qcow2 file has the unknown version ${String(version)}.`);
  }
  if (head.readBigUInt64BE(8) !== 0n) {
    throw imageInvalid(
      'The qcow2 file has a backing file: it is only the difference to another disk.',
      'Make it complete first: qemu-img convert -O qcow2 DISK complete.qcow2.',
    );
  }
  if (head.readUInt32BE(32) !== 0) {
    throw imageInvalid('The qcow2 file is encrypted.', 'Decrypt it first: qemu-img convert.');
  }
  const features = version === 3 ? head.readBigUInt64BE(72) : 0n;
  if ((features & externalData) !== 0n) throw externalDataFile();
  if ((features & corrupt) !== 0n) throw imageCorrupt('The qcow2 file is marked as corrupt.');
  if ((features & ~(dirty | corrupt | externalData | 8n | 16n)) !== 0n) {
    throw imageInvalid('The qcow2 file uses a feature that is not known.');
  }
  checkExtensions(head, version === 3 ? head.readUInt32BE(100) : 72);
  const clusterBits = head.readUInt32BE(20);
  if (clusterBits < 9 || clusterBits > 21) {
    throw imageCorrupt('The qcow2 file has a damaged header.');
  }
  return { clusterSize: 2 ** clusterBits };
}

function checkExtensions(head: Buffer, start: number): void {
  let at = start;
  for (let count = 0; count < maxExtensions && at + 8 <= head.length; count += 1) {
    const type = head.readUInt32BE(at);
    if (type === 0) return;
    if (type === dataFileExtension) throw externalDataFile();
    at += 8 + Math.ceil(head.readUInt32BE(at + 4) / 8) * 8;
  }
  throw imageCorrupt('The qcow2 file has a damaged header.');
}

function externalDataFile(): Error {
  return imageInvalid(
    'The qcow2 file keeps its data in another file.',
    'Make it complete first: qemu-img convert -O qcow2 DISK complete.qcow2.',
  );
}
