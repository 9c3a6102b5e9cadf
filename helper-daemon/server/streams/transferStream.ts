/** Download and upload streams: bytes between a client's socket and a streaming call of the guest. */
import { asCoppiceError, CoppiceError } from '../../../protocol/errors.ts';
import type { UploadResult } from '../../../protocol/operations/file.ts';
import { frameType } from '../../../protocol/stream.ts';
import { toCoppiceError } from '../../guest/errors.ts';
import type { StreamHandler } from '../tickets.ts';
import { frameSocket, type FrameSocket } from './frameSocket.ts';

/** @param abort ends the guest's call when the client goes away */
export function serveDownload(
  chunks: AsyncIterable<Uint8Array>,
  abort: AbortController,
): StreamHandler {
  return (socket) => {
    const frames = frameSocket(socket);
    frames.gone.addEventListener('abort', () => abort.abort());
    sendAll(chunks, frames).catch((error: unknown) => frames.fail(toCoppiceError(error)));
  };
}

async function sendAll(chunks: AsyncIterable<Uint8Array>, frames: FrameSocket): Promise<void> {
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    await frames.send(frameType.data, chunk);
  }
  frames.finish({ bytes });
}

/** @param consume makes the guest's call from the bytes; it is aborted when the client goes away early */
export function serveUpload(
  consume: (chunks: AsyncIterable<Uint8Array>, signal: AbortSignal) => Promise<UploadResult>,
): StreamHandler {
  return (socket) => {
    const frames = frameSocket(socket);
    const abort = new AbortController();
    let inputProblem: CoppiceError | undefined;
    async function* chunks(): AsyncGenerator<Uint8Array> {
      try {
        for await (const frame of frames.frames()) {
          if (frame.type === frameType.end) return;
          if (frame.type === frameType.data) yield frame.payload;
        }
      } catch (error) {
        inputProblem = asCoppiceError(error);
      }
      // Without an `end` frame the upload is not whole: the guest must not see a normal end.
      abort.abort();
      throw (
        inputProblem ?? new CoppiceError({ code: 'cancelled', message: 'The client went away.' })
      );
    }
    consume(chunks(), abort.signal).then(
      (result) => frames.finish(result),
      (error: unknown) => frames.fail(inputProblem ?? toCoppiceError(error)),
    );
  };
}
