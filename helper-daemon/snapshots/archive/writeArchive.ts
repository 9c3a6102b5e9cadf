/** From a manifest and the files it names to the bytes of an archive. */
import { createHash } from 'node:crypto';
import { constants, createZstdCompress, type ZstdCompress } from 'node:zlib';
import { CoppiceError } from '../../../protocol/errors.ts';
import { blockBytes, encodeHeader, paddingOf } from '../../system/tar/tarFormat.ts';
import { encodeEnd, endName, entriesOf, manifestName, type ArchiveEntry } from './entries.ts';
import { encodeManifest, type ArchiveManifest } from './manifest.ts';

/** Fits one frame of a byte stream. */
const chunkBytes = 256 * 1024;

/**
 * The archive, compressed; the same for the same content.
 * @throws CoppiceError `image_corrupt`, `layer_corrupt`, `memory_corrupt` when `read` gives something else than
 * the manifest promises; what `read` throws
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
  void feed(compressor, tarBytes(manifest, read));
  for await (const chunk of compressor) yield chunk as Uint8Array;
}

/**
 * One chunk after the other, the end after the last one is done: told of the end while it still works, Node's
 * compressor closes its frame and adds an empty one.
 */
async function feed(compressor: ZstdCompress, source: AsyncIterable<Uint8Array>): Promise<void> {
  const closed = new Promise<void>((resolve) => compressor.once('close', resolve));
  try {
    for await (const chunk of source) {
      const written = new Promise<void>((resolve) => compressor.write(chunk, () => resolve()));
      await Promise.race([written, closed]);
      if (compressor.destroyed) return;
    }
    compressor.end();
  } catch (error) {
    // It reaches whoever reads the compressor.
    compressor.destroy(error as Error);
  }
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
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const chunk of read(entry)) {
      hash.update(chunk);
      bytes += chunk.length;
      yield chunk;
    }
    if (bytes !== entry.bytes || hash.digest('hex') !== entry.sha256) throw damaged(entry);
    if (paddingOf(bytes) > 0) yield Buffer.alloc(paddingOf(bytes));
  }
  yield wholeEntry(endName, encodeEnd([first, ...entries]));
  yield Buffer.alloc(2 * blockBytes);
}

function damaged({ kind, name }: ArchiveEntry): CoppiceError {
  return new CoppiceError({
    code: `${kind}_corrupt`,
    message: `${name} is not what it was when it was recorded; an archive with it would be worthless.`,
    next: 'Run coppice storage verify to see what is affected.',
  });
}

function wholeEntry(name: string, content: Buffer): Buffer {
  const padding = Buffer.alloc(paddingOf(content.length));
  return Buffer.concat([header(name, content.length), content, padding]);
}

function header(name: string, size: number): Buffer {
  return encodeHeader({ name, kind: 'file', size, mode: 0o600, modified: 0, link: '' });
}
