/** Opens a file as a stream, decompressed by what its first bytes say, never by its name. */
import { createReadStream } from 'node:fs';
import { pipeline, Readable } from 'node:stream';
import { constants, createGunzip, createZstdDecompress } from 'node:zlib';
import { runFilter } from '../system/run.ts';
import { imageCorrupt } from './imageErrors.ts';

export type Compression = 'none' | 'gzip' | 'xz' | 'zstd';

export function compressionOf(head: Buffer): Compression {
  if (head.length >= 2 && head.readUInt16BE(0) === 0x1f8b) return 'gzip';
  if (head.subarray(0, 6).equals(Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]))) return 'xz';
  if (head.length >= 4 && head.readUInt32LE(0) === 0xfd2fb528) return 'zstd';
  return 'none';
}

/** A part of a file; an archive inside an archive is read in place. */
export interface FileRange {
  readonly path: string;
  readonly start: number;
  readonly size: number;
}

const bufferSize = 1024 * 1024;

export function openRange({ path, start, size }: FileRange): Readable {
  // `end` is inclusive, so createReadStream cannot be told to read nothing.
  if (size === 0) return Readable.from([]);
  return createReadStream(path, { start, end: start + size - 1, highWaterMark: bufferSize });
}

export function decompressed(
  raw: Readable,
  compression: Compression,
  signal?: AbortSignal,
): Readable {
  if (compression === 'none') return raw;
  if (compression === 'xz') {
    // Bounded memory: an archive may ask for a dictionary of gigabytes.
    const args = ['--decompress', '--stdout', '--memlimit-decompress=512MiB'];
    return runFilter('xz', args, raw, signal === undefined ? {} : { signal }).output;
  }
  const decoder =
    compression === 'gzip'
      ? createGunzip({ chunkSize: bufferSize })
      : createZstdDecompress({
          chunkSize: bufferSize,
          // 128 MiB at most, as the zstd tool allows by itself.
          params: { [constants.ZSTD_d_windowLogMax]: 27 },
        });
  return pipeline(raw, decoder, () => {
    // The error reaches whoever reads the decoder.
  });
}

/** A decompressor's complaint as an error of ours; everything else unchanged. */
export function asCorrupt(error: unknown, what: string): unknown {
  const { code, message } = error as { code?: unknown; message?: string };
  const fromZlib = typeof code === 'string' && /^(Z_|ZSTD_|ERR_ZSTD|ERR_ZLIB)/.test(code);
  const fromXz = code === 'command_failed' && /^xz /.test(message ?? '');
  if (!fromZlib && !fromXz) return error;
  return imageCorrupt(
    `${what} is damaged or truncated: ${(message ?? '').split('\n').slice(-1).join('')}`,
  );
}
