/** Extended attributes in the form ext4 keeps them: inside the inode where they fit, else in one block. */
import { imageInvalid } from '../imageErrors.ts';
import { crc32c } from './crc32c.ts';
import { blockSize, inodeSize } from './volume.ts';

const magic = 0xea020000;
const prefixes: readonly (readonly [string, number])[] = [
  ['user.', 1],
  ['trusted.', 4],
  ['security.', 6],
];
const accessControl: Readonly<Record<string, number>> = {
  'system.posix_acl_access': 2,
  'system.posix_acl_default': 3,
};

interface Attribute {
  readonly index: number;
  readonly name: Buffer;
  readonly value: Buffer;
}

/** Where in-inode attributes begin: after the 128 old bytes and 32 extra ones. */
export const inlineOffset = 128 + 32;

/** Attributes of namespaces that Linux does not keep on disk are left out. */
export function encodable(xattrs: ReadonlyMap<string, Buffer>): readonly Attribute[] {
  const list: Attribute[] = [];
  for (const [name, value] of xattrs) {
    const acl = accessControl[name];
    const prefix = prefixes.find(([text]) => name.startsWith(text));
    if (acl !== undefined) list.push({ index: acl, name: Buffer.alloc(0), value: diskAcl(value) });
    else if (prefix !== undefined) {
      list.push({ index: prefix[1], name: Buffer.from(name.slice(prefix[0].length)), value });
    }
  }
  if (list.some((one) => one.name.length > 255)) {
    throw imageInvalid('The archive holds an extended attribute with too long a name.');
  }
  return list.sort(
    (a, b) => a.index - b.index || a.name.length - b.name.length || Buffer.compare(a.name, b.name),
  );
}

/** Bytes for the end of the inode, or undefined when they do not fit there. */
export function inlineXattrs(attributes: readonly Attribute[]): Buffer | undefined {
  const area = Buffer.alloc(inodeSize - inlineOffset);
  area.writeUInt32LE(magic, 0);
  return fill(area, 4, 4, attributes) === undefined ? undefined : area;
}

export function xattrBlock(attributes: readonly Attribute[], block: number, seed: number): Buffer {
  const area = Buffer.alloc(blockSize);
  area.writeUInt32LE(magic, 0);
  area.writeUInt32LE(1, 4); // references
  area.writeUInt32LE(1, 8); // blocks
  const hashes = fill(area, 32, 0, attributes);
  if (hashes === undefined) {
    throw imageInvalid('The archive holds a file with too many extended attributes.');
  }
  const all = hashes.some((hash) => hash === 0)
    ? 0
    : hashes.reduce((sum, hash) => ((sum << 16) ^ (sum >>> 16) ^ hash) >>> 0, 0);
  area.writeUInt32LE(all, 12);
  const where = Buffer.alloc(8);
  where.writeUInt32LE(block >>> 0, 0);
  where.writeUInt32LE(Math.floor(block / 2 ** 32), 4);
  area.writeUInt32LE(crc32c(crc32c(seed, where), area), 16);
  return area;
}

/** Entries grow from the front, values from the back; offsets of values count from `origin`. */
function fill(
  area: Buffer,
  from: number,
  origin: number,
  attributes: readonly Attribute[],
): readonly number[] | undefined {
  let entry = from;
  let end = area.length;
  const hashes: number[] = [];
  for (const { index, name, value } of attributes) {
    const entrySize = 16 + pad(name.length);
    end -= pad(value.length);
    // Four zero bytes end the list.
    if (entry + entrySize + 4 > end) return undefined;
    const hash = entryHash(name, value);
    hashes.push(hash);
    area.writeUInt8(name.length, entry);
    area.writeUInt8(index, entry + 1);
    area.writeUInt16LE(end - origin, entry + 2);
    area.writeUInt32LE(value.length, entry + 8);
    area.writeUInt32LE(hash, entry + 12);
    area.set(name, entry + 16);
    area.set(value, end);
    entry += entrySize;
  }
  return hashes;
}

function entryHash(name: Buffer, value: Buffer): number {
  let hash = 0;
  for (const byte of name) hash = ((hash << 5) ^ (hash >>> 27) ^ byte) >>> 0;
  const words = Buffer.alloc(pad(value.length));
  value.copy(words);
  for (let at = 0; at < words.length; at += 4) {
    hash = ((hash << 16) ^ (hash >>> 16) ^ words.readUInt32LE(at)) >>> 0;
  }
  return hash;
}

/** The kernel's interface and ext4 write access control lists differently. */
function diskAcl(value: Buffer): Buffer {
  const withId = new Set([2, 8]);
  const parts: Buffer[] = [Buffer.from([1, 0, 0, 0])];
  if (value.length < 4 || (value.length - 4) % 8 !== 0 || value.readUInt32LE(0) !== 2) {
    throw imageInvalid('The archive holds an access control list that cannot be read.');
  }
  for (let at = 4; at < value.length; at += 8) {
    const full = withId.has(value.readUInt16LE(at));
    parts.push(value.subarray(at, at + (full ? 8 : 4)));
  }
  return Buffer.concat(parts);
}

function pad(length: number): number {
  return Math.ceil(length / 4) * 4;
}
