/** The client's end of a ticketed byte stream (protocol/stream.ts). */
import net from 'node:net';
import { CoppiceError, isErrorCode, type ErrorBody } from '../../protocol/errors.ts';
import {
  encodeFrameHeader,
  FrameDecoder,
  frameType,
  streamPreamble,
  type Frame,
  type FrameType,
  type StreamControl,
} from '../../protocol/stream.ts';

/** Bytes per frame sent; large enough to be cheap, small enough to keep streams responsive. */
const chunkBytes = 256 * 1024;

export interface ByteStream {
  /**
   * Frames from the server; ends with the `result` frame. Reading slowly slows the sender down.
   * @throws CoppiceError what an `error` frame says, or `outcome_unknown` when the connection breaks.
   */
  frames(): AsyncGenerator<Frame, void, undefined>;
  /** Sends input bytes; resolves when the socket wants more. */
  write(data: Uint8Array): Promise<void>;
  /** No more input. */
  end(): void;
  control(message: StreamControl): void;
  /** Gives the stream up. */
  destroy(): void;
}

export async function openByteStream(socketPath: string, ticket: string): Promise<ByteStream> {
  const socket = net.connect({ path: socketPath });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  socket.on('error', () => undefined);
  socket.write(streamPreamble(ticket));

  function send(type: FrameType, payload: Uint8Array): boolean {
    socket.cork();
    socket.write(encodeFrameHeader(type, payload.length));
    const more = payload.length === 0 ? true : socket.write(payload);
    socket.uncork();
    return more;
  }

  return {
    async *frames() {
      const decoder = new FrameDecoder();
      try {
        for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
          for (const frame of decoder.push(chunk as Uint8Array)) {
            if (frame.type === frameType.error) throw decodeError(frame.payload);
            yield frame;
            if (frame.type === frameType.result) return;
          }
        }
      } finally {
        socket.destroy();
      }
      throw new CoppiceError({
        code: 'outcome_unknown',
        message: 'The stream ended before its result arrived.',
        next: 'The daemon may have been restarted. Look with coppice list and coppice jobs list.',
      });
    },
    async write(data) {
      for (let offset = 0; offset < data.length; offset += chunkBytes) {
        const more = send(frameType.data, data.subarray(offset, offset + chunkBytes));
        if (!more && !socket.destroyed) await drained(socket);
      }
    },
    end() {
      send(frameType.end, new Uint8Array(0));
    },
    control(message) {
      send(frameType.control, Buffer.from(JSON.stringify(message)));
    },
    destroy() {
      socket.destroy();
    },
  };
}

function drained(socket: net.Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off('drain', done);
      socket.off('close', done);
      resolve();
    };
    socket.on('drain', done);
    socket.on('close', done);
  });
}

function decodeError(payload: Uint8Array): CoppiceError {
  const body = JSON.parse(Buffer.from(payload).toString('utf8')) as Partial<ErrorBody>;
  return new CoppiceError({
    ...body,
    code: isErrorCode(body.code) ? body.code : 'internal',
    message: body.message ?? 'The stream failed.',
  });
}
