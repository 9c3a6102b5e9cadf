/** A coppiced for tests of clients: real socket, real framing, answers as told. */
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import {
  createMessageConnection,
  ResponseError,
  StreamMessageReader,
  StreamMessageWriter,
  type CancellationToken,
  type MessageConnection,
} from 'vscode-jsonrpc/node';
import { CoppiceError } from '../../../protocol/errors.ts';
import { method, rpcErrorCode } from '../../../protocol/rpcMethods.ts';
import {
  encodeFrameHeader,
  FrameDecoder,
  parseStreamPreamble,
  streamPreambleLength,
  type Frame,
  type FrameType,
} from '../../../protocol/stream.ts';

export interface FakeCall {
  readonly input: Readonly<Record<string, unknown>>;
  readonly token: CancellationToken;
  readonly socket: net.Socket;
  readonly rpc: MessageConnection;
  progress(message: string, fraction?: number): void;
}

export type FakeHandler = (call: FakeCall) => unknown;

/** The server's end of a byte stream. */
export interface FakeStream {
  readonly socket: net.Socket;
  send(type: FrameType, payload: Uint8Array | object): void;
  /** Frames from the client as they come; ends when it goes away. */
  frames(): AsyncGenerator<Frame>;
}

export interface FakeDaemon {
  readonly socketPath: string;
  readonly connections: () => number;
  close(): Promise<void>;
}

export interface FakeDaemonOptions {
  readonly handlers?: Readonly<Record<string, FakeHandler>>;
  /** Runs the stream of a ticket; the ticket is what a handler replied with. */
  readonly streams?: Readonly<Record<string, (stream: FakeStream) => unknown>>;
  /** Takes a connection over before anything is said. */
  readonly onConnection?: (socket: net.Socket) => boolean;
}

/** A ticket of the right length that is readable. */
export function ticketNamed(name: string): string {
  return name.padEnd(43, '_');
}

export async function startFakeDaemon(options: FakeDaemonOptions = {}): Promise<FakeDaemon> {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'fake-'));
  const socketPath = path.join(directory, 's');
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
    if (options.onConnection?.(socket) === true) return;
    socket.once('readable', () => {
      const first = socket.read() as Buffer;
      socket.unshift(first);
      if (first[1] === 'O'.charCodeAt(0)) serveStream(socket, options);
      else serveCalls(socket, options);
    });
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  return {
    socketPath,
    connections: () => sockets.size,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function serveCalls(socket: net.Socket, options: FakeDaemonOptions): void {
  const rpc = createMessageConnection(
    new StreamMessageReader(socket),
    new StreamMessageWriter(socket),
  );
  socket.once('close', () => rpc.dispose());
  rpc.onError(() => undefined);
  rpc.onRequest(method.initialize, () => ({
    protocol: 1,
    server: { name: 'coppiced', version: '0.0.1', pid: process.pid },
    mode: 'user',
    capabilities: Object.keys(options.handlers ?? {}),
  }));
  rpc.onRequest(async (name: string, params: unknown, token: CancellationToken) => {
    const { input, progress_token } = params as {
      input: Record<string, unknown>;
      progress_token?: string;
    };
    const handler = options.handlers?.[name];
    try {
      if (handler === undefined) {
        throw new CoppiceError({ code: 'invalid_input', message: `no ${name} here` });
      }
      return await handler({
        input,
        token,
        socket,
        rpc,
        progress(message, fraction) {
          void rpc.sendNotification(method.progress, { token: progress_token, message, fraction });
        },
      });
    } catch (error) {
      if (!(error instanceof CoppiceError)) throw error;
      throw new ResponseError(rpcErrorCode.operationFailed, error.message, error.toBody());
    }
  });
  rpc.listen();
}

function serveStream(socket: net.Socket, options: FakeDaemonOptions): void {
  const preamble = (socket.read(streamPreambleLength) as Buffer | null)?.toString('latin1') ?? '';
  const ticket = parseStreamPreamble(preamble) ?? '';
  const handler = options.streams?.[ticket.replace(/_+$/, '')];
  if (handler === undefined) {
    socket.destroy();
    return;
  }
  handler({
    socket,
    send(type, payload) {
      const bytes = payload instanceof Uint8Array ? payload : Buffer.from(JSON.stringify(payload));
      socket.write(encodeFrameHeader(type, bytes.length));
      socket.write(bytes);
    },
    async *frames() {
      const decoder = new FrameDecoder();
      try {
        for await (const chunk of socket) yield* decoder.push(chunk as Buffer);
      } catch {
        // The client went away.
      }
    },
  });
}
