/** Reads a tar from a stream that must not be trusted: bounded, strict, and never further than it says. */
import {
  badTar,
  blockBytes,
  decodeHeader,
  decodePax,
  kindOf,
  longestExtension,
  longestName,
  paddingOf,
  type RawHeader,
  type TarHeader,
} from './tarFormat.ts';

export interface TarEntry extends TarHeader {
  /** The content; to be read before the next entry is asked for, or not at all. */
  body(): AsyncGenerator<Uint8Array, void, undefined>;
}

export async function* readTar(
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<TarEntry, void, undefined> {
  const bytes = byteSource(source);
  const extended = new Map<string, string>();
  for (;;) {
    const raw = decodeHeader(await bytes.exactly(blockBytes));
    if (raw === undefined) break;
    if (
      raw.typeflag === 'g' ||
      raw.typeflag === 'x' ||
      raw.typeflag === 'L' ||
      raw.typeflag === 'K'
    ) {
      const data = await readExtension(bytes, raw);
      if (raw.typeflag === 'x') keepKnown(decodePax(data), extended);
      if (raw.typeflag === 'L') extended.set('path', withoutNul(data));
      if (raw.typeflag === 'K') extended.set('linkpath', withoutNul(data));
      continue;
    }
    const header = applyExtended(raw, extended);
    extended.clear();
    let left = header.kind === 'file' ? header.size : 0;
    const unread = header.kind === 'file' ? 0 : header.size;
    async function* body(): AsyncGenerator<Uint8Array, void, undefined> {
      while (left > 0) {
        const chunk = await bytes.some(left);
        left -= chunk.length;
        yield chunk;
      }
    }
    yield { ...header, body };
    await bytes.skip(left + unread + paddingOf(header.size));
  }
  await bytes.drain();
}

const knownKeys: ReadonlySet<string> = new Set(['path', 'linkpath', 'size', 'mtime']);

/** Only what is used: records of other keys could pile up without end. */
function keepKnown(records: ReadonlyMap<string, string>, extended: Map<string, string>): void {
  for (const [key, value] of records) {
    if (key.startsWith('GNU.sparse')) {
      throw badTar('it holds a sparse file in a form that is not supported');
    }
    if (knownKeys.has(key)) extended.set(key, value);
  }
}

async function readExtension(bytes: ByteSource, raw: RawHeader): Promise<Buffer> {
  if (raw.size > longestExtension) throw badTar('an extended header is too long');
  const data = await bytes.exactly(raw.size);
  await bytes.skip(paddingOf(raw.size));
  return data;
}

function applyExtended(raw: RawHeader, extended: ReadonlyMap<string, string>): TarHeader {
  const name = extended.get('path') ?? raw.name;
  const link = extended.get('linkpath') ?? raw.link;
  if (name.length > longestName || link.length > longestName) throw badTar('a name is too long');
  const sizeText = extended.get('size');
  const size =
    sizeText === undefined
      ? raw.size
      : /^[0-9]{1,16}$/.test(sizeText)
        ? Number(sizeText)
        : Number.NaN;
  if (!Number.isSafeInteger(size)) throw badTar('a size is malformed');
  const seconds = Number(extended.get('mtime'));
  const modified =
    extended.has('mtime') && Number.isFinite(seconds) ? seconds * 1000 : raw.modified;
  return { name, kind: kindOf({ ...raw, name }), size, mode: raw.mode, modified, link };
}

function withoutNul(data: Buffer): string {
  const end = data.indexOf(0);
  return data.toString('latin1', 0, end === -1 ? data.length : end);
}

interface ByteSource {
  exactly(length: number): Promise<Buffer>;
  /** At least one byte and at most `most`. */
  some(most: number): Promise<Uint8Array>;
  skip(length: number): Promise<void>;
  /** Reads what comes after the end mark, so that the sender can finish. */
  drain(): Promise<void>;
}

function byteSource(source: AsyncIterable<Uint8Array>): ByteSource {
  const chunks = source[Symbol.asyncIterator]();
  let current: Uint8Array = new Uint8Array(0);

  async function some(most: number): Promise<Uint8Array> {
    while (current.length === 0) {
      const next = await chunks.next();
      if (next.done === true) throw badTar('it ends in the middle');
      current = next.value;
    }
    const taken = current.subarray(0, most);
    current = current.subarray(taken.length);
    return taken;
  }

  return {
    some,
    async exactly(length) {
      const result = Buffer.allocUnsafe(length);
      let filled = 0;
      while (filled < length) {
        const chunk = await some(length - filled);
        result.set(chunk, filled);
        filled += chunk.length;
      }
      return result;
    },
    async skip(length) {
      let left = length;
      while (left > 0) left -= (await some(left)).length;
    },
    async drain() {
      while ((await chunks.next()).done !== true) {
        // Padding after the end mark.
      }
    },
  };
}
