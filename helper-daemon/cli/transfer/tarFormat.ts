/**
 * The tar format (POSIX pax), as far as directories travel in it. Names are bytes to Linux and are kept as
 * such: here a name is a string with one character per byte (latin1), never decoded text.
 */
import { CoppiceError } from '../../../protocol/errors.ts';

export const blockBytes = 512;
/** Names and link targets; the kernel takes no longer ones. */
export const longestName = 4096;
/** What a header may announce for extended attributes. */
export const longestExtension = 1024 * 1024;

export type TarKind = 'file' | 'dir' | 'symlink' | 'hardlink' | 'other';

export interface TarHeader {
  readonly name: string;
  readonly kind: TarKind;
  readonly size: number;
  /** Permission bits, 0o7777. */
  readonly mode: number;
  /** Milliseconds since the epoch. */
  readonly modified: number;
  readonly link: string;
}

export function badTar(why: string): CoppiceError {
  return new CoppiceError({
    code: 'file_error',
    message: `The archive from the machine is not valid: ${why}.`,
    next: 'Nothing of it can be trusted. Look into the machine with coppice exec, and try again.',
  });
}

/** The raw fields of one header block; undefined for a block of zeros. */
export interface RawHeader extends Omit<TarHeader, 'kind'> {
  readonly typeflag: string;
}

export function decodeHeader(block: Buffer): RawHeader | undefined {
  if (block.every((byte) => byte === 0)) return undefined;
  if (parseNumber(block, 148, 8) !== checksum(block)) throw badTar('a header has a wrong checksum');
  const magic = block.toString('latin1', 257, 262);
  if (magic !== 'ustar') throw badTar('a header is neither pax nor GNU');
  const isPosix = block[262] === 0;
  const prefix = isPosix ? cString(block, 345, 155) : '';
  const name = cString(block, 0, 100);
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    typeflag: block[156] === 0 ? '0' : String.fromCharCode(block[156] ?? 0),
    size: parseNumber(block, 124, 12),
    mode: parseNumber(block, 100, 8) & 0o7777,
    modified: parseNumber(block, 136, 12) * 1000,
    link: cString(block, 157, 100),
  };
}

const kinds: Readonly<Record<string, TarKind>> = {
  '0': 'file',
  '7': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '5': 'dir',
  '3': 'other',
  '4': 'other',
  '6': 'other',
};

export function kindOf(raw: RawHeader): TarKind {
  const kind = kinds[raw.typeflag];
  if (kind === undefined) {
    throw badTar(`it holds an entry of unknown type ${JSON.stringify(raw.typeflag)}`);
  }
  return kind === 'file' && raw.name.endsWith('/') ? 'dir' : kind;
}

/** Records of a pax header: `<length> <key>=<value>\n`, where length counts the whole record. */
export function decodePax(data: Buffer): Map<string, string> {
  const records = new Map<string, string>();
  let offset = 0;
  while (offset < data.length) {
    const space = data.indexOf(0x20, offset);
    const digits = space === -1 ? '' : data.toString('latin1', offset, space);
    const length = /^[1-9][0-9]{0,6}$/.test(digits) ? Number(digits) : 0;
    const end = offset + length;
    const equals = data.indexOf(0x3d, space);
    if (
      length === 0 ||
      end > data.length ||
      data[end - 1] !== 0x0a ||
      equals === -1 ||
      equals >= end
    ) {
      throw badTar('a pax record is malformed');
    }
    records.set(
      data.toString('latin1', space + 1, equals),
      data.toString('latin1', equals + 1, end - 1),
    );
    offset = end;
  }
  return records;
}

export function encodePax(records: ReadonlyMap<string, string>): Buffer {
  const parts = [...records].map(([key, value]) => {
    const body = ` ${key}=${value}\n`;
    let length = body.length + 1;
    while (String(length).length + body.length !== length) {
      length = String(length).length + body.length;
    }
    return Buffer.from(`${String(length)}${body}`, 'latin1');
  });
  return Buffer.concat(parts);
}

/** The blocks before an entry's content: a pax header first where the old fields are too small. */
export function encodeHeader(header: TarHeader): Buffer {
  const typeflags: Readonly<Record<TarKind, string>> = {
    file: '0',
    hardlink: '1',
    symlink: '2',
    dir: '5',
    other: '0',
  };
  const extended = new Map<string, string>();
  if (header.name.length > 100) extended.set('path', header.name);
  if (header.link.length > 100) extended.set('linkpath', header.link);
  if (header.size >= 8 ** 11) extended.set('size', String(header.size));
  const seconds = Math.min(Math.max(0, Math.floor(header.modified / 1000)), 8 ** 11 - 1);
  const main = block(
    header.name,
    typeflags[header.kind],
    header.size,
    header.mode,
    seconds,
    header.link,
  );
  if (extended.size === 0) return main;
  const data = encodePax(extended);
  return Buffer.concat([
    block('././@PaxHeader', 'x', data.length, 0o644, 0, ''),
    data,
    Buffer.alloc(paddingOf(data.length)),
    main,
  ]);
}

export function paddingOf(size: number): number {
  return (blockBytes - (size % blockBytes)) % blockBytes;
}

function block(
  name: string,
  typeflag: string,
  size: number,
  mode: number,
  seconds: number,
  link: string,
): Buffer {
  const header = Buffer.alloc(blockBytes);
  const octal = (value: number, offset: number, length: number): void => {
    header.write(value.toString(8).padStart(length - 1, '0'), offset, 'latin1');
  };
  header.write(name.slice(0, 100), 0, 'latin1');
  octal(mode & 0o7777, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size >= 8 ** 11 ? 0 : size, 124, 12);
  octal(seconds, 136, 12);
  header.write(typeflag, 156, 'latin1');
  header.write(link.slice(0, 100), 157, 'latin1');
  header.write('ustar\0' + '00', 257, 'latin1');
  header.write(`${checksum(header).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}

function checksum(block: Buffer): number {
  let sum = 8 * 0x20;
  for (let index = 0; index < blockBytes; index += 1) {
    if (index < 148 || index >= 156) sum += block[index] ?? 0;
  }
  return sum;
}

function cString(block: Buffer, offset: number, length: number): string {
  const end = block.indexOf(0, offset);
  return block.toString(
    'latin1',
    offset,
    end === -1 ? offset + length : Math.min(end, offset + length),
  );
}

/** Octal digits, or a big-endian number marked by the top bit. */
function parseNumber(block: Buffer, offset: number, length: number): number {
  const first = block[offset] ?? 0;
  if (first === 0x80) {
    const value = block
      .subarray(offset + 1, offset + length)
      .reduce((sum, byte) => sum * 256 + byte, 0);
    if (!Number.isSafeInteger(value)) throw badTar('a number in a header is too large');
    return value;
  }
  const digits = cString(block, offset, length).trim();
  if (digits === '') return 0;
  if (!/^[0-7]+$/.test(digits)) {
    // Times before 1970 and the like: harmless, but nothing this side needs to understand.
    if (first === 0xff) return 0;
    throw badTar('a number in a header is malformed');
  }
  return Number.parseInt(digits, 8);
}
