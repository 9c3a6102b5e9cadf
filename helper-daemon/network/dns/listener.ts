/** The name server's sockets on the gateway of a bridge, where a source address says who asks. */
import dgram from 'node:dgram';
import net from 'node:net';
import { CoppiceError } from '../../../protocol/errors.ts';
import type { Card } from '../network.ts';
import { frame } from './message.ts';
import type { Resolver } from './resolver.ts';

const maxConnections = 256;
const maxConnectionsPerAsker = 8;
/** For one question to arrive, and for one answer to be taken. */
const idleMs = 10_000;

type CardOf = (address: string) => Card | undefined;

/**
 * Answers over UDP and TCP until closed. Who is no known card's address gets no answer.
 * @throws CoppiceError `port_taken`, `internal`
 */
export async function listenDns(
  resolver: Resolver,
  cardOf: CardOf,
  address: string,
  port = 53,
): Promise<{ close(): Promise<void> }> {
  const datagrams = await listenUdp(resolver, cardOf, address, port);
  try {
    const connections = await listenTcp(resolver, cardOf, address, port);
    return {
      async close() {
        await Promise.all([datagrams.close(), connections.close()]);
      },
    };
  } catch (error) {
    await datagrams.close();
    throw error;
  }
}

async function listenUdp(
  resolver: Resolver,
  cardOf: CardOf,
  address: string,
  port: number,
): Promise<{ close(): Promise<void> }> {
  const socket = dgram.createSocket('udp4');
  let open = true;
  socket.on('message', (message, from) => {
    const asker = cardOf(from.address);
    // Nothing can be sent to port 0, but a machine can send from it.
    if (asker === undefined || from.port === 0) return;
    void resolver.answer(asker, message, 'udp').then((reply) => {
      // An answer that cannot be sent is one that was lost: the machine asks again.
      if (reply !== undefined && open) socket.send(reply, from.port, from.address, () => undefined);
    });
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('error', (error) => reject(cannotListen(error, address, port)));
    socket.bind({ address, port, exclusive: true }, resolve);
  });
  socket.removeAllListeners('error');
  // Of single datagrams; the socket goes on.
  socket.on('error', () => undefined);
  return {
    close: () =>
      new Promise((resolve) => {
        open = false;
        socket.close(() => resolve());
      }),
  };
}

async function listenTcp(
  resolver: Resolver,
  cardOf: CardOf,
  address: string,
  port: number,
): Promise<{ close(): Promise<void> }> {
  const connections = new Map<net.Socket, string>();
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined);
    const asker = cardOf(socket.remoteAddress ?? '');
    const own = [...connections.values()].filter((id) => id === asker?.workspaceId).length;
    if (asker === undefined || own >= maxConnectionsPerAsker) {
      socket.destroy();
      return;
    }
    connections.set(socket, asker.workspaceId);
    socket.on('close', () => connections.delete(socket));
    serve(resolver, cardOf, socket).then(
      () => socket.end(),
      () => socket.destroy(),
    );
  });
  server.maxConnections = maxConnections;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(cannotListen(error, address, port)));
    server.listen({ host: address, port, exclusive: true }, resolve);
  });
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of connections.keys()) socket.destroy();
      }),
  };
}

/** One question after the other: who sends many at once waits, and is not read from meanwhile. */
async function serve(resolver: Resolver, cardOf: CardOf, socket: net.Socket): Promise<void> {
  const patience = setTimeout(() => socket.destroy(), idleMs);
  try {
    for await (const question of questions(socket)) {
      patience.refresh();
      // The policy may have changed since the connection began.
      const asker = cardOf(socket.remoteAddress ?? '');
      const reply = asker && (await resolver.answer(asker, question, 'tcp'));
      if (reply === undefined) continue;
      await new Promise<void>((resolve, reject) => {
        socket.write(frame(reply), (error) => (error == null ? resolve() : reject(error)));
      });
      patience.refresh();
    }
  } finally {
    clearTimeout(patience);
  }
}

/** At most one message and one chunk are held, and copied once: they may come byte by byte. */
async function* questions(socket: net.Socket): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  let size = 0;
  let needed = 2;
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    parts.push(chunk);
    size += chunk.length;
    if (size < needed) continue;
    let held = Buffer.concat(parts);
    needed = wholeLength(held);
    while (held.length >= needed) {
      yield held.subarray(2, needed);
      held = held.subarray(needed);
      needed = wholeLength(held);
    }
    parts = [held];
    size = held.length;
  }
}

/** Of the message that begins here, with its length; where that has not come yet: of the length. */
function wholeLength(held: Buffer): number {
  return held.length < 2 ? 2 : 2 + held.readUInt16BE(0);
}

function cannotListen(error: Error, address: string, port: number): CoppiceError {
  const isTaken = (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
  return new CoppiceError(
    {
      code: isTaken ? 'port_taken' : 'internal',
      message: `The name server of machines cannot listen on ${address}:${port}: ${error.message}.`,
      next: isTaken
        ? `Find out which program listens there (ss -lpn sport = :${port}), and keep it from this address.`
        : 'Look at the daemon log (coppice status names it) and report this as a bug.',
    },
    { cause: error },
  );
}
