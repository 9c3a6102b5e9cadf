/** The Unix socket: accepts connections and tells JSON-RPC sessions and byte streams apart. */
import { chmod, chown, unlink } from 'node:fs/promises';
import net from 'node:net';
import { parseStreamPreamble, streamPreambleLength } from '../../protocol/stream.ts';
import { serveRpc, type SessionServices } from './rpcSession.ts';

export interface Listener {
  readonly connections: () => number;
  close(): Promise<void>;
}

export type Endpoint =
  /** `uid` owns the socket file and alone may connect; default: the daemon's own. */
  | { readonly path: string; readonly uid?: number }
  /** Passed in by systemd. */
  | { readonly fd: number };

/** A client that has not said what it wants by then is let go. */
const firstBytesMs = 10_000;
const connectionLimit = 1024;

/** A stale socket at the path is replaced: the caller holds the state lock. */
export async function listenOn(where: Endpoint, services: SessionServices): Promise<Listener> {
  const open = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    open.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => open.delete(socket));
    dispatch(socket, services);
  });
  server.maxConnections = connectionLimit;

  if ('path' in where) {
    await unlink(where.path).catch(() => undefined);
  }
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen('path' in where ? { path: where.path } : where, resolve);
  });
  if ('path' in where) {
    await chmod(where.path, 0o600);
    if (where.uid !== undefined) await chown(where.path, where.uid, 0);
  }

  return {
    connections: () => open.size,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

/** JSON-RPC starts with `Content-Length`, a stream with `COPPICE-STREAM`: the second letter decides. */
function dispatch(socket: net.Socket, services: SessionServices): void {
  const timer = setTimeout(() => socket.destroy(), firstBytesMs);
  let read = Buffer.alloc(0);
  const onData = (chunk: Buffer): void => {
    read = Buffer.concat([read, chunk]);
    if (read.length < 2) return;
    const isStream = read[1] === 'O'.charCodeAt(0);
    if (isStream && read.length < streamPreambleLength) return;
    clearTimeout(timer);
    socket.off('data', onData);
    socket.pause();
    if (isStream) openStream(socket, read, services);
    else serveRpc(socket, read, services);
  };
  socket.on('data', onData);
  socket.once('close', () => clearTimeout(timer));
}

function openStream(socket: net.Socket, read: Buffer, services: SessionServices): void {
  const ticket = parseStreamPreamble(read.toString('latin1', 0, streamPreambleLength));
  const handler = ticket === undefined ? undefined : services.tickets.redeem(ticket);
  if (handler === undefined) {
    socket.destroy();
    return;
  }
  const rest = read.subarray(streamPreambleLength);
  if (rest.length > 0) socket.unshift(rest);
  handler(socket);
}
