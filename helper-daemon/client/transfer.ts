/** Uploads and downloads over a byte stream, as sources and sinks of chunks. */
import type { UploadResult } from '../../protocol/operations/file.ts';
import { frameType } from '../../protocol/stream.ts';
import { frameJson, type ByteStream } from './byteStream.ts';

/** The bytes of a download. It has arrived whole when this ends without an error. */
export async function* downloadedBytes(
  stream: ByteStream,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const frame of stream.frames()) {
    if (frame.type === frameType.data) yield frame.payload;
  }
}

/**
 * Sends everything `source` gives and resolves with what the machine says about it. A failure on the
 * other side ends the upload at once, not after the last byte.
 */
export async function uploadBytes(
  stream: ByteStream,
  source: AsyncIterable<Uint8Array>,
): Promise<UploadResult> {
  const outcome = readUploadResult(stream);
  // A source that waits (a terminal, a pipe) must not hide that the upload has already failed.
  const ended = outcome.then(() => undefined);
  ended.catch(() => undefined);
  const chunks = source[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await Promise.race([chunks.next(), ended]);
      if (next === undefined || next.done === true) break;
      await stream.write(next.value);
    }
  } catch (error) {
    // Without `end` the other side drops what it has.
    stream.destroy();
    void chunks.return?.();
    throw error;
  }
  stream.end();
  return await outcome;
}

async function readUploadResult(stream: ByteStream): Promise<UploadResult> {
  let result: UploadResult | undefined;
  for await (const frame of stream.frames()) {
    if (frame.type === frameType.result) result = frameJson<UploadResult>(frame);
  }
  // frames() ends without an error only after a result.
  return result ?? { bytes: 0 };
}
