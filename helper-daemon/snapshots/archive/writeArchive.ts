/** From a manifest and the files it names to the bytes of an archive. */
import { createHash } from 'node:crypto';
import { pipeline, Readable } from 'node:stream';
import { constants, createZstdCompress } from 'node:zlib';
import { blockBytes, encodeHeader, paddingOf } from '../../system/tar/tarFormat.ts';
import { encodeEnd, endName, entriesOf, manifestName, type ArchiveEntry } from './entries.ts';
import { encodeManifest, type ArchiveManifest } from './manifest.ts';

/** Fits one frame of a byte stream. */
const chunkBytes = 256 * 1024;

/**
 * The archive, compressed; the same for the same content.
 * @param read the content of an entry, of exactly the size and digest that the manifest gives
 * @throws what `read` throws, and Error when it gives less or more
 */
export async function* archiveBytes(
  manifest: ArchiveManifest,
  read: (entry: ArchiveEntry) => AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const compressor = createZstdCompress({
    chunkSize: chunkBytes,
    // The checksum covers what the entries' digests do not: headers and padding.
    params: { [constants.ZSTD_c_checksumFlag]: 1 },
  });
  const source = Readable.from(tarBytes(manifest, read));
  pipeline(source, compressor, () => {
    // The error reaches whoever reads the compressor.
  });
  for await (const chunk of compressor) yield chunk as Uint8Array;
}

async function* tarBytes(
  manifest: ArchiveManifest,
  read: (entry: ArchiveEntry) => AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const text = encodeManifest(manifest);
  const first = { name: manifestName, sha256: createHash('sha256').update(text).digest('hex') };
  const entries = entriesOf(manifest);
  yield wholeEntry(manifestName, text);
  for (const entry of entries) {
    yield header(entry.name, entry.bytes);
    let bytes = 0;
    for await (const chunk of read(entry)) {
      bytes += chunk.length;
      yield chunk;
    }
    if (bytes !== entry.bytes) throw new Error(`${entry.name} has changed its size`);
    yield Buffer.alloc(paddingOf(bytes));
  }
  yield wholeEntry(endName, encodeEnd([first, ...entries]));
  yield Buffer.alloc(2 * blockBytes);
}

function wholeEntry(name: string, content: Buffer): Buffer {
  const padding = Buffer.alloc(paddingOf(content.length));
  return Buffer.concat([header(name, content.length), content, padding]);
}

function header(name: string, size: number): Buffer {
  return encodeHeader({ name, kind: 'file', size, mode: 0o600, modified: 0, link: '' });
}
