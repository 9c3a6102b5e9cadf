/**
 * Reads a tar stream: ustar, pax and GNU long names. Written for hostile input: every length is bounded before
 * it is believed, and pax values stay bytes (extended attributes are binary).
 */
import type { Readable } from 'node:stream';
import { imageCorrupt, imageInvalid } from './imageErrors.ts';

export type TarKind = 'file' | 'link' | 'symlink' | 'directory' | 'fifo' | 'device';

export interface TarEntry {
  readonly path: string;
  readonly kind: TarKind;
  readonly linkTarget: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: number;
  readonly size: number;
  /** Where the content begins in the (uncompressed) archive. */
  readonly offset: number;
  readonly xattrs: ReadonlyMap<string, Buffer>;
  /** The content in pieces; what is not read is skipped. */
  readonly body: () => AsyncGenerator<Buffer>;
}

const blockSize = 512;
/** Names, links and attributes of one entry together; Linux takes far less. */
const maxHeaderData = 1024 * 1024;

const kinds: Readonly<Record<string, TarKind>> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  '1': 'link',
  '2': 'symlink',
  '3': 'device',
  '4': 'device',
  '5': 'directory',
  '6': 'fifo',
};

export async function* tarEntries(input: Readable): AsyncGenerator<TarEntry> {
  const source = byteSource(input);
  let pax = new Map<string, Buffer>();
  let longPath: string | undefined;
  let longLink: string | undefined;
  let sawHeader = false;
  for (;;) {
    const header = await source.exactly(blockSize, sawHeader ? 'truncated' : 'empty');
    if (header === undefined || header.every((byte) => byte === 0)) {
      if (header === undefined && !sawHeader) throw imageInvalid('The archive is empty.');
      await source.drain();
      return;
    }
    checkSum(header);
    sawHeader = true;
    const type = String.fromCharCode(header[156] as number);
    const declared = number(header, 124, 12);
    if (type === 'x' || type === 'g' || type === 'L' || type === 'K') {
      if (declared > maxHeaderData) {
        throw imageInvalid('The archive holds an entry with an oversized header.');
      }
      const data = (await source.exactly(declared, 'truncated')) as Buffer;
      await source.exactly(padding(declared), 'truncated');
      if (type === 'x') pax = paxRecords(data);
      else if (type === 'L') longPath = untilZero(data);
      else if (type === 'K') longLink = untilZero(data);
      continue;
    }
    const kind = kinds[type];
    if (kind === undefined || [...pax.keys()].some((key) => key.startsWith('GNU.sparse.'))) {
      throw imageInvalid(
        `The archive holds an entry of a kind that is not supported (${JSON.stringify(type)}).`,
        'Write the tar without sparse files or multiple volumes, in pax or GNU format.',
      );
    }
    const text = (key: string): string | undefined => pax.get(key)?.toString('utf8');
    // Whatever size the header of a link or directory declares, no content follows it.
    const size = kind === 'file' ? whole(text('size'), declared) : 0;
    const path = text('path') ?? longPath ?? ustarPath(header);
    let left = size;
    const body = async function* (): AsyncGenerator<Buffer> {
      while (left > 0) {
        const piece = await source.some(left);
        left -= piece.length;
        yield piece;
      }
    };
    yield {
      path,
      // Before POSIX a directory was a file with a slash at its end.
      kind: kind === 'file' && type === '\0' && path.endsWith('/') ? 'directory' : kind,
      linkTarget: text('linkpath') ?? longLink ?? untilZero(header.subarray(157, 257)),
      mode: number(header, 100, 8) & 0o7777,
      uid: identity(whole(text('uid'), number(header, 108, 8))),
      gid: identity(whole(text('gid'), number(header, 116, 8))),
      mtime: Math.floor(Number(text('mtime') ?? number(header, 136, 12))) || 0,
      size,
      offset: source.position(),
      xattrs: xattrsOf(pax),
      body,
    };
    while (left > 0) left -= (await source.some(left)).length;
    await source.exactly(padding(size), 'truncated');
    pax = new Map();
    longPath = undefined;
    longLink = undefined;
  }
}

function padding(size: number): number {
  return (blockSize - (size % blockSize)) % blockSize;
}

function checkSum(header: Buffer): void {
  let sum = 8 * 0x20;
  for (let at = 0; at < blockSize; at += 1) if (at < 148 || at >= 156) sum += header[at] as number;
  if (sum !== number(header, 148, 8)) {
    throw imageCorrupt(
      'The archive is damaged, or not a tar archive: a header has a wrong checksum.',
    );
  }
}

/** Octal, or GNU's base 256 where the top bit is set. */
function number(header: Buffer, at: number, length: number): number {
  const field = header.subarray(at, at + length);
  if (((field[0] as number) & 0x80) !== 0) {
    if (field[0] === 0xff) return 0;
    let value = (field[0] as number) & 0x7f;
    for (const byte of field.subarray(1)) value = value * 256 + byte;
    if (!Number.isSafeInteger(value)) throw imageCorrupt('The archive holds an impossible number.');
    return value;
  }
  const digits = untilZero(field).trim();
  if (digits === '') return 0;
  if (!/^[0-7]+$/.test(digits)) {
    throw imageCorrupt('The archive is damaged: a number in a header is not one.');
  }
  return parseInt(digits, 8);
}

function whole(text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) {
    throw imageCorrupt('The archive holds an impossible number.');
  }
  return value;
}

function identity(id: number): number {
  if (id > 0xffffffff) throw imageCorrupt('The archive holds an impossible owner.');
  return id;
}

function ustarPath(header: Buffer): string {
  const name = untilZero(header.subarray(0, 100));
  const isPosix = header.subarray(257, 263).toString('latin1') === 'ustar\0';
  const prefix = isPosix ? untilZero(header.subarray(345, 500)) : '';
  return prefix === '' ? name : `${prefix}/${name}`;
}

function untilZero(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.subarray(0, end < 0 ? bytes.length : end).toString('utf8');
}

/** Records of the form "length key=value\n". */
function paxRecords(data: Buffer): Map<string, Buffer> {
  const records = new Map<string, Buffer>();
  let at = 0;
  while (at < data.length && data[at] !== 0) {
    const space = data.indexOf(0x20, at);
    const length = space < 0 ? NaN : Number(data.subarray(at, space).toString('latin1'));
    const equals = data.indexOf(0x3d, space);
    if (
      !Number.isInteger(length) ||
      at + length > data.length ||
      equals < 0 ||
      equals >= at + length
    ) {
      throw imageCorrupt('The archive is damaged: an extended header cannot be read.');
    }
    records.set(
      data.subarray(space + 1, equals).toString('utf8'),
      data.subarray(equals + 1, at + length - 1),
    );
    at += length;
  }
  return records;
}

function xattrsOf(pax: ReadonlyMap<string, Buffer>): ReadonlyMap<string, Buffer> {
  const found = new Map<string, Buffer>();
  for (const [key, value] of pax) {
    if (key.startsWith('SCHILY.xattr.')) {
      found.set(key.slice('SCHILY.xattr.'.length), Buffer.from(value));
    }
  }
  return found;
}

interface ByteSource {
  /** Exactly so many bytes; undefined at a clean end when `atEnd` allows it. */
  exactly(length: number, atEnd: 'truncated' | 'empty'): Promise<Buffer | undefined>;
  /** At least one and at most so many bytes. */
  some(length: number): Promise<Buffer>;
  drain(): Promise<void>;
  /** Bytes handed out so far. */
  position(): number;
}

function byteSource(input: Readable): ByteSource {
  const chunks = input[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let rest: Buffer = Buffer.alloc(0);
  const more = async (): Promise<boolean> => {
    const next = await chunks.next();
    if (next.done === true) return false;
    rest = rest.length === 0 ? next.value : Buffer.concat([rest, next.value]);
    return true;
  };
  let position = 0;
  const take = (length: number): Buffer => {
    const taken = rest.subarray(0, length);
    position += length;
    rest = rest.subarray(length);
    return taken;
  };
  return {
    position: () => position,
    async exactly(length, atEnd) {
      while (rest.length < length) {
        if (await more()) continue;
        if (atEnd === 'empty' && rest.length === 0) return undefined;
        throw imageCorrupt('The archive ends in the middle of an entry: it is truncated.');
      }
      return take(length);
    },
    async some(length) {
      while (rest.length === 0) {
        if (!(await more())) {
          throw imageCorrupt('The archive ends in the middle of a file: it is truncated.');
        }
      }
      return take(Math.min(length, rest.length));
    },
    async drain() {
      rest = Buffer.alloc(0);
      while (await more()) rest = Buffer.alloc(0);
    },
  };
}
