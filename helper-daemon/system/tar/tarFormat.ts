/**
 * The tar format: ustar, pax and GNU long names. Names are bytes to Linux and are kept as such: here a name
 * is a string with one character per byte (latin1), never decoded text.
 */

export const blockBytes = 512;

export type TarKind = 'file' | 'link' | 'symlink' | 'directory' | 'fifo' | 'device';

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

export type TarFault =
  | 'empty'
  | 'truncatedEntry'
  | 'truncatedContent'
  | 'checksum'
  | 'number'
  | 'largeNumber'
  | 'size'
  | 'pax'
  | 'longExtension'
  | 'sparse'
  | 'type';

/** Makes the caller's own error of a fault; `typeflag` is that of the entry at fault, where it matters. */
export type TarFail = (fault: TarFault, typeflag?: string) => Error;

/** The raw fields of one header block. */
export interface RawHeader extends Omit<TarHeader, 'kind'> {
  readonly typeflag: string;
  readonly uid: number;
  readonly gid: number;
  /** False for the form from before POSIX. */
  readonly hasMagic: boolean;
}

/** Undefined for a block of zeros. */
export function decodeHeader(block: Buffer, fail: TarFail): RawHeader | undefined {
  if (block.every((byte) => byte === 0)) return undefined;
  const number = (offset: number, length: number): number =>
    parseNumber(block, offset, length, fail);
  if (number(148, 8) !== headerChecksum(block)) throw fail('checksum');
  const hasMagic = block.toString('latin1', 257, 262) === 'ustar';
  const prefix = hasMagic && block[262] === 0 ? cString(block, 345, 155) : '';
  const name = cString(block, 0, 100);
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    typeflag: String.fromCharCode(block[156] ?? 0),
    size: number(124, 12),
    mode: number(100, 8) & 0o7777,
    uid: number(108, 8),
    gid: number(116, 8),
    modified: number(136, 12) * 1000,
    link: cString(block, 157, 100),
    hasMagic,
  };
}

const kinds: Readonly<Record<string, TarKind>> = {
  '\0': 'file',
  '0': 'file',
  '7': 'file',
  '1': 'link',
  '2': 'symlink',
  '3': 'device',
  '4': 'device',
  '5': 'directory',
  '6': 'fifo',
};

/** Undefined for a type that is not known. */
export function kindOf(typeflag: string): TarKind | undefined {
  return kinds[typeflag];
}

/**
 * Records of a pax header: `<length> <key>=<value>\n`, where length counts the whole record. Values stay
 * bytes: extended attributes are binary.
 */
export function decodePax(data: Buffer, fail: TarFail): Map<string, Buffer> {
  const records = new Map<string, Buffer>();
  let offset = 0;
  // Some writers count the padding of zeros as well.
  while (offset < data.length && data[offset] !== 0) {
    const space = data.indexOf(0x20, offset);
    const digits = space === -1 ? '' : data.toString('latin1', offset, space);
    const end = /^[0-9]{1,7}$/.test(digits) ? offset + Number(digits) : offset;
    const equals = data.indexOf(0x3d, space);
    // Also what makes every round end further on: offset < equals < end.
    if (equals <= offset || equals >= end || end > data.length || data[end - 1] !== 0x0a) {
      throw fail('pax');
    }
    records.set(data.toString('latin1', space + 1, equals), data.subarray(equals + 1, end - 1));
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
    link: '1',
    symlink: '2',
    device: '3',
    directory: '5',
    fifo: '6',
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
  header.write(`${headerChecksum(header).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}

/** What the checksum field of a header has to hold. */
export function headerChecksum(block: Buffer): number {
  let sum = 8 * 0x20;
  for (let index = 0; index < blockBytes; index += 1) {
    if (index < 148 || index >= 156) sum += block[index] ?? 0;
  }
  return sum;
}

function cString(block: Buffer, offset: number, length: number): string {
  return untilNul(block.subarray(offset, offset + length));
}

export function untilNul(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('latin1', 0, end === -1 ? bytes.length : end);
}

/** Octal digits, or a big-endian number marked by the top bit. */
function parseNumber(block: Buffer, offset: number, length: number, fail: TarFail): number {
  const first = block[offset] ?? 0;
  if (first === 0x80) {
    const value = block
      .subarray(offset + 1, offset + length)
      .reduce((sum, byte) => sum * 256 + byte, 0);
    if (!Number.isSafeInteger(value)) throw fail('largeNumber');
    return value;
  }
  // Times before 1970 and the like: harmless, but nothing this side needs to understand.
  if (first === 0xff) return 0;
  const digits = cString(block, offset, length).trim();
  if (digits === '') return 0;
  if (!/^[0-7]+$/.test(digits)) throw fail('number');
  return Number.parseInt(digits, 8);
}
