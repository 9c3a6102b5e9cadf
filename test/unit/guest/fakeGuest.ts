/** A guest made of Node's own HTTP/2 server: it answers hellos and calls, or misbehaves as told. */
import http2 from 'node:http2';
import net from 'node:net';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { toBinary, type DescMessage } from '@bufbuild/protobuf';
import { encodeAnswer, helloLength } from '../../../helper-daemon/guest/hello.ts';
import { MessageReader } from '../../../helper-daemon/guest/messageReader.ts';

export interface FakeCall {
  readonly stream: http2.ServerHttp2Stream;
  /** Requests as they come; ends when the client has said its last. */
  readonly requests: AsyncIterable<Buffer>;
  send(schema: DescMessage, message: Parameters<typeof toBinary>[1]): void;
  end(status?: number, message?: string, word?: string): void;
}

export interface FakeGuestOptions {
  readonly key: Buffer;
  readonly generation?: bigint;
  readonly bootId?: string;
  /** By `Service/Method`. */
  readonly calls?: Readonly<Record<string, (call: FakeCall) => void | Promise<void>>>;
  /** Called with the raw socket instead of answering hellos. */
  readonly raw?: (socket: net.Socket) => void;
  /** Called with the raw socket after a hello was answered, instead of HTTP/2. */
  readonly afterHello?: (socket: net.Socket) => void;
  readonly onSession?: (session: http2.ServerHttp2Session) => void;
}

export interface FakeGuest {
  readonly path: string;
  readonly connections: () => number;
  /** Ends every connection, as an agent that dies does on vsock. */
  drop(): void;
  close(): Promise<void>;
}

export async function startFakeGuest(options: FakeGuestOptions): Promise<FakeGuest> {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'coppice-guest-'));
  const socketPath = path.join(directory, 'agent.sock');
  const sockets = new Set<net.Socket>();
  let connections = 0;
  const server = net.createServer((socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    if (options.raw !== undefined) options.raw(socket);
    else answerHellos(socket, options);
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  const drop = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    path: socketPath,
    connections: () => connections,
    drop,
    async close() {
      drop();
      await new Promise((resolve) => server.close(resolve));
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function answerHellos(socket: net.Socket, options: FakeGuestOptions): void {
  let kept = Buffer.alloc(0);
  const onData = (chunk: Buffer): void => {
    kept = Buffer.concat([kept, chunk]);
    const at = kept.indexOf(options.key);
    if (at < 0 || kept.length < at + helloLength) return;
    const nonce = kept.subarray(at + 44, at + 60);
    const rest = kept.subarray(at + helloLength);
    socket.removeListener('data', onData);
    socket.pause();
    if (rest.length > 0) socket.unshift(rest);
    socket.write(
      encodeAnswer({
        nonce,
        protocolGeneration: 1,
        generation: options.generation ?? 1n,
        bootId: options.bootId ?? '01234567-89ab-cdef-0123-456789abcdef',
      }),
    );
    if (options.afterHello !== undefined) options.afterHello(socket);
    else serve(socket, options);
  };
  socket.on('data', onData);
}

function serve(socket: net.Socket, options: FakeGuestOptions): void {
  const session = http2.performServerHandshake(socket, {
    settings: { initialWindowSize: 4 * 1024 * 1024, maxFrameSize: 256 * 1024 },
  });
  session.on('error', () => undefined);
  options.onSession?.(session);
  session.on('stream', (stream, headers) => {
    stream.on('error', () => undefined);
    const name = String(headers[':path']).replace('/coppice.guest.v1.', '');
    const handler = options.calls?.[name];
    if (handler === undefined) {
      stream.respond(
        {
          ':status': 200,
          'content-type': 'application/grpc',
          'grpc-status': '12',
          'grpc-message': `no ${name}`,
        },
        { endStream: true },
      );
      return;
    }
    void handler(fakeCall(stream));
  });
}

function fakeCall(stream: http2.ServerHttp2Stream): FakeCall {
  let trailers: http2.OutgoingHttpHeaders = {};
  const respond = (): void => {
    if (stream.headersSent || stream.destroyed) return;
    stream.respond(
      { ':status': 200, 'content-type': 'application/grpc' },
      { waitForTrailers: true },
    );
    stream.on('wantTrailers', () => stream.sendTrailers(trailers));
  };
  return {
    stream,
    requests: messagesOf(stream),
    send(schema, message) {
      respond();
      if (!stream.destroyed) stream.write(frame(toBinary(schema, message)));
    },
    end(status = 0, message, word) {
      respond();
      trailers = {
        'grpc-status': String(status),
        ...(message === undefined ? {} : { 'grpc-message': encodeURIComponent(message) }),
        ...(word === undefined ? {} : { 'coppice-error': word }),
      };
      stream.end();
    },
  };
}

async function* messagesOf(stream: http2.ServerHttp2Stream): AsyncGenerator<Buffer> {
  const reader = new MessageReader();
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    const messages: Buffer[] = [];
    reader.push(chunk, (message) => messages.push(message));
    yield* messages;
  }
}

export function frame(message: Uint8Array): Buffer {
  const header = Buffer.alloc(5);
  header.writeUInt32BE(message.length, 1);
  return Buffer.concat([header, message]);
}
