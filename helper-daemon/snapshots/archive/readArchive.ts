/**
 * Reads an archive that may come from anybody. Nothing in it is believed before it was checked, it names no
 * path of this host, and no more of it is unpacked than its description declared.
 */
import { createHash } from 'node:crypto';
import { pipeline, Readable } from 'node:stream';
import { constants, createZstdDecompress } from 'node:zlib';
import { blockBytes } from '../../system/tar/tarFormat.ts';
import { readTar, type TarEntry } from '../../system/tar/tarReader.ts';
import { archiveInvalid, asArchiveError, tarFault } from './archiveErrors.ts';
import { encodeEnd, endName, entriesOf, manifestName, type ArchiveEntry } from './entries.ts';
import { decodeManifest, manifestLimit, type ArchiveManifest } from './manifest.ts';

/** Where the content of an entry goes; closed however that ends. */
export interface EntrySink {
  write(chunk: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/**
 * Decides what becomes of an archive with this description; asked before anything of it is unpacked. What it
 * returns opens a sink for an entry, or says that its content is not needed.
 */
export type Accept = (
  manifest: ArchiveManifest,
) => Promise<(entry: ArchiveEntry) => Promise<EntrySink> | undefined>;

/** Headers and padding of one entry, extended headers included. */
const entryOverhead = 8 * blockBytes;
const archiveOverhead = 64 * 1024;
const endLimit = 1024;

/**
 * Resolves when the whole archive was read and is sound.
 * @throws CoppiceError `archive_invalid`; what `source`, `accept` and the sinks throw
 */
export async function readArchive(
  source: AsyncIterable<Uint8Array>,
  accept: Accept,
): Promise<ArchiveManifest> {
  const plain = unpack(source);
  try {
    const tar = readTar(plain.bytes(), tarFault);
    const text = await readWhole(await nextEntry(tar, manifestName), manifestLimit);
    const manifest = decodeManifest(text);
    const entries = entriesOf(manifest);
    plain.allow(entries.reduce((sum, { bytes }) => sum + bytes + entryOverhead, 0));
    const sinkFor = await accept(manifest);
    for (const entry of entries) {
      const found = await nextEntry(tar, entry.name);
      if (found.size !== entry.bytes) {
        throw archiveInvalid('it does not have the size it should have', entry.name);
      }
      await readEntry(found, entry, await sinkFor(entry));
    }
    const end = await readWhole(await nextEntry(tar, endName), endLimit);
    const first = { name: manifestName, sha256: createHash('sha256').update(text).digest('hex') };
    if (!end.equals(encodeEnd([first, ...entries]))) {
      throw archiveInvalid('it does not agree with what came before it', endName);
    }
    if ((await tar.next()).done !== true) throw archiveInvalid('something follows it', endName);
    plain.requireEnd();
    return manifest;
  } catch (error) {
    throw asArchiveError(error);
  } finally {
    plain.close();
  }
}

async function nextEntry(tar: AsyncGenerator<TarEntry, void>, name: string): Promise<TarEntry> {
  const next = await tar.next();
  if (next.done === true) throw archiveInvalid('it is missing', name);
  const entry = next.value;
  if (entry.name === name && entry.kind === 'file') return entry;
  const found = JSON.stringify(entry.name.slice(0, 100));
  throw archiveInvalid(`there is ${found} in its place`, name);
}

async function readWhole({ name, size, body }: TarEntry, limit: number): Promise<Buffer> {
  if (size > limit) throw archiveInvalid('it is far too large', name);
  const chunks: Uint8Array[] = [];
  for await (const chunk of body()) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

async function readEntry(
  { body }: TarEntry,
  { name, sha256 }: ArchiveEntry,
  sink: EntrySink | undefined,
): Promise<void> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of body()) {
      hash.update(chunk);
      await sink?.write(chunk);
    }
  } finally {
    await sink?.close();
  }
  if (hash.digest('hex') !== sha256) {
    throw archiveInvalid('its content is not what its digest promises', name);
  }
}

interface Unpacking {
  bytes(): AsyncGenerator<Uint8Array, void, undefined>;
  /** Lets so many more bytes through. */
  allow(more: number): void;
  /** @throws CoppiceError `archive_invalid` when there is more than one compressed frame */
  requireEnd(): void;
  close(): void;
}

function unpack(source: AsyncIterable<Uint8Array>): Unpacking {
  let allowed = manifestLimit + archiveOverhead;
  let received = 0;
  const decoder = createZstdDecompress({
    chunkSize: 256 * 1024,
    // 128 MiB at most, as the zstd tool allows by itself.
    params: { [constants.ZSTD_d_windowLogMax]: 27 },
  });
  async function* counted(): AsyncGenerator<Uint8Array> {
    for await (const chunk of source) {
      received += chunk.length;
      yield chunk;
    }
  }
  pipeline(Readable.from(counted()), decoder, () => {
    // The error reaches whoever reads the decoder.
  });
  return {
    async *bytes() {
      for await (const chunk of decoder as AsyncIterable<Uint8Array>) {
        allowed -= chunk.length;
        if (allowed < 0) throw archiveInvalid('it unpacks to more than it declares');
        yield chunk;
      }
    },
    allow(more) {
      allowed += more;
    },
    requireEnd() {
      if (decoder.bytesWritten !== received) {
        throw archiveInvalid('something follows the compressed data');
      }
    },
    close() {
      decoder.destroy();
    },
  };
}
