/**
 * Reads a tar from a stream that must not be trusted: every length is bounded before it is believed, and
 * memory is bounded by one entry's headers. What names and links may say is the caller's to check.
 */
import {
  blockBytes,
  decodeHeader,
  decodePax,
  kindOf,
  paddingOf,
  untilNul,
  type RawHeader,
  type TarFail,
  type TarFault,
  type TarHeader,
} from './tarFormat.ts';

/** Names, links and attributes of one entry together; Linux takes far less. */
const longestExtension = 1024 * 1024;

export interface TarEntry extends TarHeader, RawHeader {
  /** Where the content begins in the (uncompressed) archive. */
  readonly offset: number;
  /** The records of the entry's own pax header; those of `name`, `link`, `size`, `modified` are applied. */
  readonly pax: ReadonlyMap<string, Buffer>;
  /** The content in pieces, to be read before the next entry is asked for; what is not read is skipped. */
  readonly body: () => AsyncGenerator<Uint8Array, void, undefined>;
}

interface Extensions {
  pax: ReadonlyMap<string, Buffer>;
  longName: string | undefined;
  longLink: string | undefined;
}

export async function* readTar(
  source: AsyncIterable<Uint8Array>,
  fail: TarFail,
): AsyncGenerator<TarEntry, void, undefined> {
  const bytes = byteSource(source, fail);
  if (await bytes.isAtEnd()) throw fail('empty');
  let extensions = noExtensions();
  for (;;) {
    const raw = decodeHeader(await bytes.exactly(blockBytes), fail);
    if (raw === undefined) break;
    if (['g', 'x', 'L', 'K'].includes(raw.typeflag)) {
      const data = await readExtension(bytes, raw, fail);
      if (raw.typeflag === 'x') extensions.pax = decodePax(data, fail);
      if (raw.typeflag === 'L') extensions.longName = untilNul(data);
      if (raw.typeflag === 'K') extensions.longLink = untilNul(data);
      continue;
    }
    const header = extendedHeader(raw, extensions, fail);
    let left = header.size;
    async function* body(): AsyncGenerator<Uint8Array, void, undefined> {
      while (left > 0) {
        const chunk = await bytes.some(left, 'truncatedContent');
        left -= chunk.length;
        yield chunk;
      }
    }
    yield { ...header, offset: bytes.position(), pax: extensions.pax, body };
    await bytes.skip(left, 'truncatedContent');
    left = 0;
    await bytes.skip(paddingOf(header.size), 'truncatedEntry');
    extensions = noExtensions();
  }
  await bytes.drain();
}

function noExtensions(): Extensions {
  return { pax: new Map(), longName: undefined, longLink: undefined };
}

async function readExtension(bytes: ByteSource, raw: RawHeader, fail: TarFail): Promise<Buffer> {
  if (raw.size > longestExtension) throw fail('longExtension');
  const data = await bytes.exactly(raw.size);
  await bytes.skip(paddingOf(raw.size), 'truncatedEntry');
  return data;
}

function extendedHeader(
  raw: RawHeader,
  { pax, longName, longLink }: Extensions,
  fail: TarFail,
): TarHeader & RawHeader {
  if ([...pax.keys()].some((key) => key.startsWith('GNU.sparse.'))) {
    throw fail('sparse', raw.typeflag);
  }
  const kind = kindOf(raw.typeflag);
  if (kind === undefined) throw fail('type', raw.typeflag);
  const text = (key: string): string | undefined => pax.get(key)?.toString('latin1');
  const name = text('path') ?? longName ?? raw.name;
  const seconds = Number(text('mtime') ?? Number.NaN);
  return {
    ...raw,
    name,
    // Before POSIX a directory was a file with a slash at its end.
    kind: raw.typeflag === '\0' && name.endsWith('/') ? 'directory' : kind,
    // Whatever size the header of a link or directory declares, no content follows it.
    size: kind === 'file' ? sizeOf(raw, text('size'), fail) : 0,
    modified: Number.isFinite(seconds) ? seconds * 1000 : raw.modified,
    link: text('linkpath') ?? longLink ?? raw.link,
  };
}

function sizeOf(raw: RawHeader, extended: string | undefined, fail: TarFail): number {
  if (extended === undefined) return raw.size;
  const size = /^[0-9]{1,16}$/.test(extended) ? Number(extended) : Number.NaN;
  if (!Number.isSafeInteger(size)) throw fail('size');
  return size;
}

interface ByteSource {
  isAtEnd(): Promise<boolean>;
  exactly(length: number): Promise<Buffer>;
  /** At least one byte and at most `most`. */
  some(most: number, atEnd: TarFault): Promise<Uint8Array>;
  skip(length: number, atEnd: TarFault): Promise<void>;
  /** Reads what comes after the end mark, so that the sender can finish. */
  drain(): Promise<void>;
  /** Bytes handed out or skipped so far. */
  position(): number;
}

function byteSource(source: AsyncIterable<Uint8Array>, fail: TarFail): ByteSource {
  const chunks = source[Symbol.asyncIterator]();
  let current: Uint8Array = new Uint8Array(0);
  let position = 0;

  async function isAtEnd(): Promise<boolean> {
    while (current.length === 0) {
      const next = await chunks.next();
      if (next.done === true) return true;
      current = next.value;
    }
    return false;
  }

  async function some(most: number, atEnd: TarFault): Promise<Uint8Array> {
    if (await isAtEnd()) throw fail(atEnd);
    const taken = current.subarray(0, most);
    current = current.subarray(taken.length);
    position += taken.length;
    return taken;
  }

  return {
    isAtEnd,
    some,
    position: () => position,
    async exactly(length) {
      const result = Buffer.allocUnsafe(length);
      let filled = 0;
      while (filled < length) {
        const chunk = await some(length - filled, 'truncatedEntry');
        result.set(chunk, filled);
        filled += chunk.length;
      }
      return result;
    },
    async skip(length, atEnd) {
      let left = length;
      while (left > 0) left -= (await some(left, atEnd)).length;
    },
    async drain() {
      while ((await chunks.next()).done !== true) {
        // Padding after the end mark.
      }
    },
  };
}
