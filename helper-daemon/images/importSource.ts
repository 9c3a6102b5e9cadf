/** Finds out what a file or directory is that somebody wants to import, from its content alone. */
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { headerChecksum } from '../system/tar/tarFormat.ts';
import {
  asCorrupt,
  compressionOf,
  decompressed,
  openRange,
  type Compression,
} from './compression.ts';
import { imageInvalid, sourceMissing } from './imageErrors.ts';
import { tarEntries } from './tarEntries.ts';

export type ImportSource =
  | {
      readonly kind: 'rootfs';
      readonly path: string;
      readonly size: number;
      readonly compression: Compression;
    }
  | {
      readonly kind: 'imageArchive';
      readonly path: string;
      readonly size: number;
      readonly compression: Compression;
    }
  | { readonly kind: 'imageDirectory'; readonly path: string }
  | {
      readonly kind: 'disk';
      readonly path: string;
      readonly size: number;
      readonly format: 'qcow2' | 'raw';
    };

const headSize = 64 * 1024;

export async function identifySource(path: string, signal?: AbortSignal): Promise<ImportSource> {
  const facts = await stat(path).catch(() => {
    throw sourceMissing(path);
  });
  if (facts.isDirectory()) return identifyDirectory(path);
  // A device or a pipe could block for ever or be somebody's disk.
  if (!facts.isFile()) throw imageInvalid(`${path} is neither a file nor a directory.`);
  const { size } = facts;
  const head = await readHead(path);
  if (head.subarray(0, 4).toString('latin1') === 'QFI\xfb') {
    return { kind: 'disk', path, size, format: 'qcow2' };
  }
  refuseKnown(path, head);
  const compression = compressionOf(head);
  if (compression !== 'none' || looksLikeTar(head)) {
    const isImage = await holdsImage(path, size, compression, signal);
    return { kind: isImage ? 'imageArchive' : 'rootfs', path, size, compression };
  }
  if (looksLikeDisk(head)) return { kind: 'disk', path, size, format: 'raw' };
  throw imageInvalid(`${path} is not a kind of image that can be imported.`);
}

async function identifyDirectory(path: string): Promise<ImportSource> {
  for (const name of ['index.json', 'manifest.json']) {
    const facts = await stat(join(path, name)).catch(() => undefined);
    if (facts?.isFile() === true) return { kind: 'imageDirectory', path };
  }
  throw imageInvalid(
    `The directory ${path} is not an OCI image layout (it has no index.json).`,
    'A directory with a root file system has to be packed first: tar --numeric-owner -C DIRECTORY -cf rootfs.tar .',
  );
}

async function readHead(path: string): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const buffer = Buffer.alloc(headSize);
    const { bytesRead } = await file.read(buffer, 0, headSize, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** Forms that people do have, with what to do about each. */
function refuseKnown(path: string, head: Buffer): void {
  const at = (offset: number, text: string): boolean =>
    head.subarray(offset, offset + text.length).toString('latin1') === text;
  const convert = 'Convert it first: qemu-img convert -O qcow2 SOURCE disk.qcow2.';
  if (head.length === 0) throw imageInvalid(`${path} is empty.`);
  if (at(0, 'KDMV') || at(0, '# Disk DescriptorFile')) {
    throw imageInvalid(`${path} is a VMware disk.`, convert);
  }
  if (at(0, 'vhdxfile')) throw imageInvalid(`${path} is a VHDX disk.`, convert);
  if (at(0, 'conectix')) throw imageInvalid(`${path} is a VHD disk.`, convert);
  if (at(0, '<<< ')) throw imageInvalid(`${path} is a VirtualBox disk.`, convert);
  if (at(32_769, 'CD001')) {
    throw imageInvalid(
      `${path} is an ISO image, which holds an installer, not an installed system.`,
    );
  }
  if (at(0, 'BZh')) {
    throw imageInvalid(`${path} is compressed with bzip2.`, 'Decompress it first: bunzip2 FILE.');
  }
  if (at(0, 'PK\x03\x04')) throw imageInvalid(`${path} is a zip file.`, 'Unpack it first.');
}

function looksLikeTar(head: Buffer): boolean {
  if (head.length < 512) return false;
  if (head.subarray(257, 262).toString('latin1') === 'ustar') return true;
  const declared = parseInt(head.subarray(148, 156).toString('latin1'), 8);
  return declared === headerChecksum(head);
}

function looksLikeDisk(head: Buffer): boolean {
  const isExt = head.length > 1082 && head.readUInt16LE(1080) === 0xef53;
  const hasTable = head.length >= 512 && head.readUInt16LE(510) === 0xaa55;
  const isSquashfs = head.subarray(0, 4).toString('latin1') === 'hsqs';
  const isErofs = head.length > 1028 && head.readUInt32LE(1024) === 0xe0f5e1e2;
  return isExt || hasTable || isSquashfs || isErofs;
}

/** The first entry that is not the root itself decides: image archives hold these names and no others. */
async function holdsImage(
  path: string,
  size: number,
  compression: Compression,
  signal?: AbortSignal,
): Promise<boolean> {
  const stream = decompressed(openRange({ path, start: 0, size }), compression, signal);
  try {
    for await (const entry of tarEntries(stream)) {
      const name = entry.path.replace(/^(\.?\/)+/, '');
      if (name === '' || name === '.') continue;
      return /^(oci-layout|index\.json|manifest\.json|repositories|blobs(\/.*)?|[0-9a-f]{64}(\.json|\.tar|\/.*)?)$/.test(
        name,
      );
    }
    return false;
  } catch (error) {
    throw asCorrupt(error, path);
  } finally {
    stream.destroy();
  }
}
