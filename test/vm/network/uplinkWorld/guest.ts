/** A guest without a machine: its card's socket, and as much of TCP as a test needs. */
import net from 'node:net';
import { createFrameDecoder } from '../../../../helper-daemon/network/user/frameDecoder.ts';
import type { Card } from '../../../../helper-daemon/network/network.ts';
import {
  ethernet,
  flag,
  icmp,
  prefixed,
  read,
  tcp,
  udp,
  type Seen,
} from '../../../unit/network/user/wire.ts';

export interface Guest {
  /** What a datagram to there brings back; undefined: an error, or nothing within a second. */
  datagram(to: string, port: number, text: string): Promise<string | undefined>;
  ping(to: string): Promise<boolean>;
  /** Undefined: refused. */
  connect(to: string, port: number): Promise<Connection | undefined>;
  close(): Promise<void>;
}

export interface Connection {
  send(data: Buffer): void;
  /** Resolves when the predicate holds for the bytes so far; rejects when the connection is reset. */
  received(bytes: number): Promise<Buffer>;
  /** How it ended. */
  readonly ended: Promise<'reset' | 'finished'>;
}

/** Maximum segment size of an Ethernet card, and windows in units of 128 bytes. */
const options = Buffer.from([2, 4, 5, 180, 3, 3, 7, 1]);

export async function openGuest(path: string, card: Card, gatewayMac: string): Promise<Guest> {
  const waiting = new Set<(seen: Seen) => void>();
  const batches = new Set<() => void>();
  const decoder = createFrameDecoder((bytes, start, end) => {
    const seen = read(bytes.subarray(start, end));
    for (const take of waiting) take(seen);
  });
  let socket: net.Socket | undefined;
  const server = net.createServer((accepted) => {
    socket = accepted;
    accepted.on('error', () => undefined);
    accepted.on('data', (chunk: Buffer) => {
      decoder.push(chunk);
      for (const end of batches) end();
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  let nextPort = 40_000;

  function send(packet: Buffer): void {
    socket?.write(prefixed(ethernet(gatewayMac, card.mac, 0x0800, packet)));
  }

  /** The first frame for which `pick` has a value. */
  function expectOne<T>(pick: (seen: Seen) => T | undefined, ms: number): Promise<T | undefined> {
    return new Promise((resolve) => {
      const finish = (value: T | undefined): void => {
        clearTimeout(timer);
        waiting.delete(take);
        resolve(value);
      };
      const take = (seen: Seen): void => {
        const value = pick(seen);
        if (value !== undefined) finish(value);
      };
      const timer = setTimeout(() => finish(undefined), ms);
      waiting.add(take);
    });
  }

  return {
    async datagram(to, port, text) {
      nextPort += 1;
      const ports = [nextPort, port] as const;
      const answer = expectOne((seen) => {
        if (seen.kind === 'icmp' && seen.type === 3) return { text: undefined };
        const isAnswer = seen.kind === 'udp' && seen.from === to && seen.ports[1] === ports[0];
        return isAnswer ? { text: seen.data.toString() } : undefined;
      }, 1000);
      send(udp({ from: card.address, to, ports, data: Buffer.from(text) }));
      return (await answer)?.text;
    },
    async ping(to) {
      const answer = expectOne((seen) => {
        if (seen.kind !== 'icmp') return undefined;
        return seen.type === 0 && seen.from === to;
      }, 1000);
      send(icmp({ from: card.address, to }));
      return (await answer) ?? false;
    },
    async connect(to, port) {
      nextPort += 1;
      return await connectTcp({ from: card.address, to, ports: [nextPort, port] as const });
    },
    close() {
      socket?.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };

  async function connectTcp(ends: {
    from: string;
    to: string;
    ports: readonly [number, number];
  }): Promise<Connection | undefined> {
    let sequence = 1000;
    let acknowledgement = 0;
    let owed = false;
    const chunks: Buffer[] = [];
    let total = 0;
    const ended = Promise.withResolvers<'reset' | 'finished'>();
    const wakeups = new Set<() => void>();
    const segment = (flags: number, data?: Buffer): void => {
      send(
        tcp({ ...ends, flags, sequence, acknowledgement, ...(data === undefined ? {} : { data }) }),
      );
    };
    const mine = (seen: Seen): boolean =>
      seen.kind === 'tcp' && seen.from === ends.to && seen.ports[1] === ends.ports[0];

    const first = expectOne((seen) => (mine(seen) ? seen : undefined), 3000);
    send(tcp({ ...ends, flags: flag.syn, sequence, tcpOptions: options }));
    const answer = await first;
    if (answer === undefined || (answer.flags & flag.rst) !== 0) return undefined;
    sequence += 1;
    acknowledgement = (answer.sequence + 1) >>> 0;
    waiting.add((seen) => {
      if (!mine(seen)) return;
      if ((seen.flags & flag.rst) !== 0) {
        ended.resolve('reset');
        return;
      }
      const hasContent = seen.data.length > 0 || (seen.flags & flag.fin) !== 0;
      owed ||= hasContent;
      if (!hasContent || seen.sequence !== acknowledgement) return;
      chunks.push(Buffer.from(seen.data));
      total += seen.data.length;
      acknowledgement = (acknowledgement + seen.data.length) >>> 0;
      if ((seen.flags & flag.fin) !== 0) {
        acknowledgement += 1;
        ended.resolve('finished');
      }
      for (const wake of wakeups) wake();
    });
    batches.add(() => {
      if (owed) segment(flag.ack);
      owed = false;
    });
    segment(flag.ack);
    return {
      send(data) {
        segment(flag.ack | flag.push, data);
        sequence += data.length;
      },
      ended: ended.promise,
      async received(bytes) {
        await new Promise<void>((resolve, reject) => {
          const wake = (): void => {
            if (total < bytes) return;
            wakeups.delete(wake);
            resolve();
          };
          wakeups.add(wake);
          wake();
          void ended.promise.then((how) => {
            if (how === 'reset') reject(new Error('the connection was reset'));
          });
        });
        return Buffer.concat(chunks);
      },
    };
  }
}
