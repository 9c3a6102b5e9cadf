/** Asking the name servers outside: one socket, one id and one source port per question. */
import dgram from 'node:dgram';
import net from 'node:net';
import {
  belongsTo,
  frame,
  isTruncated,
  rcodes,
  readReply,
  writeQuery,
  type Question,
  type UpstreamReply,
} from './message.ts';
import type { NameServer } from './servers.ts';

const perServerMs = 2000;
const inAllMs = 5000;
const rounds = 2;

/**
 * The first reply that settles the question (it exists or it does not), else the last one that says why not;
 * undefined where no server answered in time, or `signal` ended it.
 */
export async function askUpstream(
  servers: readonly NameServer[],
  question: Question,
  signal: AbortSignal,
): Promise<UpstreamReply | undefined> {
  const endAt = performance.now() + inAllMs;
  let silent = [...servers];
  let excuse: UpstreamReply | undefined;
  for (let round = 0; round < rounds; round += 1) {
    for (const server of silent) {
      const reply = await askServer(server, question, endAt, signal);
      if (reply === undefined) continue;
      if (reply.rcode === rcodes.ok || reply.rcode === rcodes.noSuchName) return reply;
      excuse = reply;
      // It would say the same again.
      silent = silent.filter((other) => other !== server);
    }
  }
  return excuse;
}

async function askServer(
  server: NameServer,
  question: Question,
  endAt: number,
  signal: AbortSignal,
): Promise<UpstreamReply | undefined> {
  const patience = (): number => Math.min(perServerMs, endAt - performance.now());
  const query = writeQuery(question);
  let reply = await exchangeUdp(server, query, patience(), signal);
  if (reply !== undefined && isTruncated(reply)) {
    reply = await exchangeTcp(server, query, patience(), signal);
  }
  return reply && readReply(reply);
}

/** Whatever else arrives at the socket is passed over: it may come from somebody who guesses. */
function exchangeUdp(
  server: NameServer,
  query: Buffer,
  ms: number,
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  if (signal.aborted || ms <= 0) return Promise.resolve(undefined);
  return new Promise((resolve) => {
    const socket = dgram.createSocket({
      type: net.isIPv6(server.address) ? 'udp6' : 'udp4',
      signal,
    });
    let found: Buffer | undefined;
    let closing = false;
    const end = (): void => {
      if (closing || signal.aborted) return;
      closing = true;
      socket.close();
    };
    const timer = setTimeout(end, ms);
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(found);
    });
    socket.on('error', end);
    socket.on('message', (message) => {
      if (found !== undefined || !belongsTo(query, message)) return;
      found = message;
      end();
    });
    // Connected: datagrams from anywhere else never reach it, and a closed port is an error at once.
    socket.connect(server.port, server.address, () => {
      if (!closing && !signal.aborted) socket.send(query);
    });
  });
}

function exchangeTcp(
  server: NameServer,
  query: Buffer,
  ms: number,
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  if (signal.aborted || ms <= 0) return Promise.resolve(undefined);
  return new Promise((resolve) => {
    const socket = net.connect({ host: server.address, port: server.port, signal });
    let received: Buffer = Buffer.alloc(0);
    let found: Buffer | undefined;
    // The reason of an end does not matter: there is a reply or there is none.
    socket.on('error', () => undefined);
    const timer = setTimeout(() => socket.destroy(), ms);
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(found);
    });
    socket.on('end', () => socket.destroy());
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      // The length has two bytes, so nobody can make us gather more than 64 KiB and one chunk.
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      const reply = received.subarray(2, 2 + received.readUInt16BE(0));
      if (belongsTo(query, reply) && !isTruncated(reply)) found = reply;
      socket.destroy();
    });
    socket.write(frame(query));
  });
}
