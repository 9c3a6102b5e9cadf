/** The server's end of a byte stream: frames out with back-pressure, frames in as an iterable. */
import type net from 'node:net';
import { asCoppiceError } from '../../../protocol/errors.ts';
import {
  encodeFrameHeader,
  FrameDecoder,
  frameType,
  type Frame,
  type FrameType,
} from '../../../protocol/stream.ts';
import { drained } from '../../system/drained.ts';

export interface FrameSocket {
  /** Aborted when the client has gone. */
  readonly gone: AbortSignal;
  /** Ends when the client closes; throws on a bad frame. */
  frames(): AsyncGenerator<Frame, void, undefined>;
  /** Resolves when the socket wants more. */
  send(type: FrameType, payload: Uint8Array): Promise<void>;
  sendJson(type: FrameType, value: unknown): Promise<void>;
  /** Sends the last frame and closes. */
  finish(result: unknown): void;
  fail(error: unknown): void;
}

/** How long a client may take to read the last frame and close. */
const lingerMs = 10_000;

export function frameSocket(socket: net.Socket): FrameSocket {
  const gone = new AbortController();
  socket.on('error', () => undefined);
  socket.once('close', () => gone.abort());

  function write(type: FrameType, payload: Uint8Array): boolean {
    if (socket.destroyed) return true;
    socket.cork();
    let more = socket.write(encodeFrameHeader(type, payload.length));
    if (payload.length > 0) more = socket.write(payload);
    socket.uncork();
    return more;
  }

  function last(type: FrameType, value: unknown): void {
    if (socket.destroyed) return;
    write(type, json(value));
    socket.end();
    // Input that nobody will read must neither block the client nor keep the connection half open.
    socket.resume();
    setTimeout(() => socket.destroy(), lingerMs).unref();
  }

  return {
    gone: gone.signal,
    async *frames() {
      const decoder = new FrameDecoder();
      for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
        yield* decoder.push(chunk as Uint8Array);
      }
    },
    async send(type, payload) {
      if (!write(type, payload)) await drained(socket);
    },
    async sendJson(type, value) {
      if (!write(type, json(value))) await drained(socket);
    },
    finish: (result) => last(frameType.result, result),
    fail: (error) => last(frameType.error, asCoppiceError(error).toBody()),
  };
}

function json(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value), 'utf8');
}
