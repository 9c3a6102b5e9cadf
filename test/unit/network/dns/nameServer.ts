/** A name server on 127.0.0.1 that answers what the test says, and what else asking a resolver needs. */
import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';
import * as dns from 'dns-packet';
import type { Resolver } from '../../../../helper-daemon/network/dns/resolver.ts';
import type { Card } from '../../../../helper-daemon/network/network.ts';
import { closedPolicy, type NetworkPolicy } from '../../../../helper-daemon/network/policy.ts';

export interface Asked {
  readonly packet: dns.DecodedPacket;
  readonly bytes: Buffer;
  readonly name: string;
  readonly type: string;
  readonly transport: 'udp' | 'tcp';
  readonly port: number;
}

export interface NameServer {
  readonly address: string;
  readonly port: number;
  readonly asked: Asked[];
  /** Every one of its datagrams is sent, in this order. */
  answer: (asked: Asked) => Buffer | readonly Buffer[] | undefined;
  close(): Promise<void>;
}

export async function startNameServer(answer: NameServer['answer']): Promise<NameServer> {
  const tcp = net.createServer();
  tcp.listen(0, '127.0.0.1');
  await once(tcp, 'listening');
  const { port } = tcp.address() as net.AddressInfo;
  const udp = dgram.createSocket('udp4');
  udp.bind(port, '127.0.0.1');
  await once(udp, 'listening');
  const sockets = new Set<net.Socket>();
  const server: NameServer = {
    address: `127.0.0.1:${port}`,
    port,
    asked: [],
    answer,
    async close() {
      for (const socket of sockets) socket.destroy();
      await Promise.all([
        new Promise((resolve) => tcp.close(resolve)),
        new Promise<void>((resolve) => udp.close(() => resolve())),
      ]);
    },
  };
  const replies = (bytes: Buffer, transport: 'udp' | 'tcp', from: number): readonly Buffer[] => {
    const packet = dns.decode(bytes);
    const [question] = packet.questions!;
    const asked = {
      packet,
      bytes,
      name: question!.name,
      type: question!.type,
      transport,
      port: from,
    };
    server.asked.push(asked);
    const given = server.answer(asked);
    return given === undefined ? [] : Buffer.isBuffer(given) ? [given] : given;
  };
  udp.on('message', (bytes, from) => {
    for (const reply of replies(bytes, 'udp', from.port)) udp.send(reply, from.port, from.address);
  });
  tcp.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => {
      for (const reply of replies(bytes.subarray(2), 'tcp', socket.remotePort!)) {
        socket.write(framed(reply));
      }
    });
  });
  return server;
}

export function framed(message: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  return Buffer.concat([length, message]);
}

/** A reply to the question that holds these records. */
export function reply(
  asked: Asked,
  answers: dns.Answer[],
  more: { readonly flags?: number; readonly id?: number; readonly additionals?: dns.Answer[] } = {},
): Buffer {
  return dns.encode({
    type: 'response',
    id: more.id ?? asked.packet.id!,
    flags: dns.RECURSION_AVAILABLE | (more.flags ?? 0),
    questions: asked.packet.questions,
    answers,
    additionals: more.additionals,
  });
}

export function a(name: string, data: string, ttl = 60): dns.Answer {
  return { type: 'A', name, ttl, class: 'IN', data };
}

export function cname(name: string, data: string, ttl = 60): dns.Answer {
  return { type: 'CNAME', name, ttl, class: 'IN', data };
}

let cards = 0;

export function card(policy: Partial<NetworkPolicy>, address?: string): Card {
  cards += 1;
  return {
    workspaceId: `workspace-${cards}`,
    name: `machine-${cards}`,
    address: address ?? `10.42.0.${cards + 1}`,
    mac: `02:c0:0a:2a:00:${cards.toString(16).padStart(2, '0')}`,
    policy: { ...closedPolicy, ...policy },
    revision: cards,
    forwards: [],
  };
}

export function allowing(...allow: string[]): Partial<NetworkPolicy> {
  return { internet: 'list', allow };
}

export function query(name: string, type = 'A', more: Partial<dns.Packet> = {}): Buffer {
  return dns.encode({
    type: 'query',
    id: 4321,
    flags: dns.RECURSION_DESIRED,
    questions: [{ name, type: type as dns.RecordType, class: 'IN' }],
    ...more,
  });
}

export function edns(udpPayloadSize: number): dns.Answer {
  return {
    type: 'OPT',
    name: '.',
    udpPayloadSize,
    extendedRcode: 0,
    ednsVersion: 0,
    flags: 0,
    flag_do: false,
    options: [],
  };
}

export interface Answered {
  readonly rcode: string;
  /** "A 203.0.113.1", in order. */
  readonly records: readonly string[];
  readonly ttls: readonly number[];
  readonly packet: dns.DecodedPacket;
  readonly bytes: Uint8Array;
}

export function read(bytes: Uint8Array): Answered {
  const packet = dns.decode(Buffer.from(bytes));
  return {
    rcode: (packet as unknown as { rcode: string }).rcode,
    records: packet.answers!.map((record) => {
      const { data } = record as { data?: unknown };
      return `${record.type} ${typeof data === 'string' ? data : JSON.stringify(data)}`;
    }),
    ttls: packet.answers!.map((record) => (record as { ttl?: number }).ttl ?? -1),
    packet,
    bytes,
  };
}

/** Asks over UDP. @throws where there is no answer */
export async function ask(
  resolver: Resolver,
  asker: Card,
  name: string,
  type = 'A',
): Promise<Answered> {
  const bytes = await resolver.answer(asker, query(name, type), 'udp');
  if (bytes === undefined) throw new Error(`no answer for ${name}`);
  return read(bytes);
}
