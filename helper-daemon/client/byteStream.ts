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
import { drained } from '../system/drained.ts';

/** Bytes per frame sent; large enough to be cheap, small enough to keep streams responsive. */
const chunkBytes = 256 * 1024;

export interface ByteStream {
  /**
   * Frames from the server; ends with the `result` frame. Reading slowly slows the sender down.
   * @throws CoppiceError what an `error` frame says, or `outcome_unknown` when the connection breaks.
   */
  frames(): AsyncGenerator<Frame, void, undefined>;
  /** Sends input bytes; resolves when the socket wants more. Bytes after the stream's end are dropped. */
  write(data: Uint8Array): Promise<void>;
  /** No more input. */
  end(): void;
  control(message: StreamControl): void;
  /** Gives the stream up. */
  destroy(): void;
}

/** @throws CoppiceError `daemon_unavailable` */
export async function openByteStream(socketPath: string, ticket: string): Promise<ByteStream> {
  const socket = net.connect({ path: socketPath });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', (error) => reject(unreachable(socketPath, error)));
  });
  socket.on('error', () => undefined);
  socket.write(streamPreamble(ticket));

  function send(type: FrameType, payload: Uint8Array): boolean {
    if (!socket.writable) return true;
    socket.cork();
    let more = socket.write(encodeFrameHeader(type, payload.length));
    if (payload.length > 0) more = socket.write(payload);
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
      } catch (error) {
        throw error instanceof CoppiceError ? error : streamLost(error);
      } finally {
        socket.destroy();
      }
      throw streamLost();
    },
    async write(data) {
      for (let offset = 0; offset < data.length; offset += chunkBytes) {
        const more = send(frameType.data, data.subarray(offset, offset + chunkBytes));
        if (!more) await drained(socket);
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

function unreachable(socketPath: string, cause: Error): CoppiceError {
  return new CoppiceError(
    {
      code: 'daemon_unavailable',
      message: `No connection to the Coppice daemon at ${socketPath}: ${cause.message}`,
      next: 'Look with coppice daemon status, then try again.',
    },
    { cause },
  );
}

function streamLost(cause?: unknown): CoppiceError {
  return new CoppiceError(
    {
      code: 'outcome_unknown',
      message: 'The stream ended before its result arrived.',
      next: 'The daemon may have been restarted. Look with coppice list and coppice jobs list.',
    },
    { cause },
  );
}

function decodeError(payload: Uint8Array): CoppiceError {
  const body = parseObject(payload) as Partial<ErrorBody> | undefined;
  if (body === undefined) return streamLost(new Error('The error frame holds no JSON object.'));
  return new CoppiceError({
    ...body,
    code: isErrorCode(body.code) ? body.code : 'internal',
    message: typeof body.message === 'string' ? body.message : 'The stream failed.',
  });
}

/** The JSON of a `result` or `started` frame. */
export function frameJson<T>(frame: Frame): T {
  const value = parseObject(frame.payload);
  if (value === undefined) throw streamLost(new Error('A frame holds no JSON object.'));
  return value as T;
}

function parseObject(payload: Uint8Array): object | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(payload).toString('utf8'));
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
