/**
 * The header of a qcow2 file, read and written without QEMU: a process costs a hundred times more, and QEMU
 * opens every file that a header names, so headers are looked at before it does.
 */
import { open, type FileHandle } from 'node:fs/promises';

export interface Backing {
  readonly path: string;
  readonly format: 'qcow2' | 'raw';
}

export interface Qcow2Header {
  readonly version: number;
  readonly virtualBytes: number;
  readonly clusterBits: number;
  readonly headerLength: number;
  readonly backingPath: string | undefined;
  readonly backingFormat: string | undefined;
  readonly encrypted: boolean;
  readonly externalData: boolean;
  readonly incompatible: bigint;
  readonly snapshots: number;
  readonly l1Entries: number;
  readonly l1Offset: bigint;
  readonly refcountTableOffset: bigint;
}

export const extendedL2 = 16n;
const externalDataFeature = 4n;
const corruptFeature = 2n;

const magic = 0x514649fb;
const formatExtension = 0xe2792aca;
const dataFileExtension = 0x44415441;
/** QEMU's own bound on the length of a backing file's name. */
const longestPath = 1023;
const maxExtensions = 64;
const headBytes = 64 * 1024;

/** Reads a header; what makes it unusable is returned as a phrase, for the caller's kind of error. */
export async function readHeader(file: string): Promise<Qcow2Header | string> {
  const handle = await open(file, 'r');
  try {
    return await readHeaderOf(handle);
  } finally {
    await handle.close();
  }
}

async function readHeaderOf(handle: FileHandle): Promise<Qcow2Header | string> {
  const head = Buffer.alloc(headBytes);
  const { bytesRead } = await handle.read(head, 0, head.length, 0);
  return parseHeader(head.subarray(0, bytesRead));
}

function parseHeader(head: Buffer): Qcow2Header | string {
  if (head.length < 104 || head.readUInt32BE(0) !== magic) return 'it is not a qcow2 file';
  const version = head.readUInt32BE(4);
  if (version !== 2 && version !== 3) return `it has the unknown version ${String(version)}`;
  const clusterBits = head.readUInt32BE(20);
  if (clusterBits < 9 || clusterBits > 21) return 'its cluster size is impossible';
  const size = head.readBigUInt64BE(24);
  if (size > BigInt(Number.MAX_SAFE_INTEGER)) return 'its size is impossible';
  const headerLength = version === 3 ? head.readUInt32BE(100) : 72;
  if (version === 3 && (headerLength < 104 || headerLength > 4096 || headerLength % 8 !== 0)) {
    return 'the length of its header is impossible';
  }
  const extensions = readExtensions(head, headerLength);
  if (extensions === undefined) return 'its header extensions are damaged';
  const backingPath = readName(head, head.readBigUInt64BE(8), head.readUInt32BE(16));
  if (backingPath === null) return 'the name of its backing file is damaged';
  const incompatible = version === 3 ? head.readBigUInt64BE(72) : 0n;
  if ((incompatible & corruptFeature) !== 0n) return 'it is marked as corrupt';
  return {
    version,
    virtualBytes: Number(size),
    clusterBits,
    headerLength,
    backingPath,
    backingFormat: extensions.format,
    encrypted: head.readUInt32BE(32) !== 0,
    externalData: extensions.dataFile || (incompatible & externalDataFeature) !== 0n,
    incompatible,
    snapshots: head.readUInt32BE(60),
    l1Entries: head.readUInt32BE(36),
    l1Offset: head.readBigUInt64BE(40),
    refcountTableOffset: head.readBigUInt64BE(48),
  };
}

function readExtensions(
  head: Buffer,
  start: number,
): { format: string | undefined; dataFile: boolean } | undefined {
  let format: string | undefined;
  let dataFile = false;
  let at = start;
  for (let count = 0; count < maxExtensions && at + 8 <= head.length; count += 1) {
    const type = head.readUInt32BE(at);
    const length = head.readUInt32BE(at + 4);
    if (type === 0) return { format, dataFile };
    if (at + 8 + length > head.length) return undefined;
    if (type === formatExtension) format = head.toString('latin1', at + 8, at + 8 + length);
    if (type === dataFileExtension) dataFile = true;
    at += 8 + Math.ceil(length / 8) * 8;
  }
  return undefined;
}

/** Undefined: it has none; null: what is there is no name. */
function readName(head: Buffer, offset: bigint, length: number): string | undefined | null {
  if (offset === 0n) return undefined;
  if (length === 0 || length > longestPath) return null;
  if (offset + BigInt(length) > BigInt(head.length)) return null;
  const name = head.toString('utf8', Number(offset), Number(offset) + length);
  return name.includes('\0') ? null : name;
}

/** Puts the header's extensions and the backing file's name, or none, behind its fixed fields. */
export function placeBacking(
  head: Buffer,
  headerLength: number,
  backing: Backing | undefined,
): void {
  head.fill(0, headerLength);
  head.writeBigUInt64BE(0n, 8);
  head.writeUInt32BE(0, 16);
  if (backing === undefined) return;
  const format = Buffer.from(backing.format);
  head.writeUInt32BE(formatExtension, headerLength);
  head.writeUInt32BE(format.length, headerLength + 4);
  format.copy(head, headerLength + 8);
  const nameAt = headerLength + 8 + 8 + 8;
  const name = Buffer.from(backing.path);
  if (name.length > longestPath) throw new RangeError('the path of a backing file is too long');
  name.copy(head, nameAt);
  head.writeBigUInt64BE(BigInt(nameAt), 8);
  head.writeUInt32BE(name.length, 16);
}

/**
 * Makes a file stand on `backing`, or on nothing, without looking at what either holds. All other header
 * extensions go: they are optional, and bitmaps would no longer be true.
 */
export async function setBacking(file: string, backing: Backing | undefined): Promise<void> {
  const handle = await open(file, 'r+');
  try {
    const header = await readHeaderOf(handle);
    if (typeof header === 'string') throw new TypeError(header);
    const head = Buffer.alloc(2 ** header.clusterBits);
    await handle.read(head, 0, header.headerLength, 0);
    placeBacking(head, header.headerLength, backing);
    if (header.version === 3) head.writeBigUInt64BE(0n, 88);
    await handle.write(head, 0, head.length, 0);
  } finally {
    await handle.close();
  }
}
