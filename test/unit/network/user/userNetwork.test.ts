import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { pino } from 'pino';
import type { Card, Network, RunKey } from '../../../../helper-daemon/network/network.ts';
import type { NetworkPolicy } from '../../../../helper-daemon/network/policy.ts';
import { createFrameDecoder } from '../../../../helper-daemon/network/user/frameDecoder.ts';
import { openUserNetwork } from '../../../../helper-daemon/network/user/userNetwork.ts';
import { cardOf, plan } from './bed.ts';
import { ethernet, prefixed, read, tcp, udp, type Seen } from './wire.ts';

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function open(passt = '/nonexistent/passt'): Network {
  const network = openUserNetwork({
    plan,
    resolverOptions: { upstreams: ['127.0.0.1:9'] },
    log: pino({ level: 'silent' }),
    passt,
  });
  cleanups.push(() => network.close());
  return network;
}

/** A monitor's end of a card: the socket in the run directory, and what comes out of it. */
interface Monitor {
  readonly run: RunKey;
  readonly card: Card;
  readonly seen: Seen[];
  send(packet: Buffer): void;
  next(count: number): Promise<Seen[]>;
  readonly connected: Promise<unknown>;
  readonly ended: Promise<unknown>;
}

async function monitor(
  name: string,
  address: string,
  policy: Partial<NetworkPolicy> = {},
): Promise<Monitor> {
  const runDir = await mkdtemp(join(tmpdir(), 'coppice-card-'));
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(join(runDir, 'net.sock'), resolve));
  cleanups.push(async () => {
    server.close();
    await rm(runDir, { recursive: true });
  });
  const card = cardOf(name, address, policy);
  const seen: Seen[] = [];
  const decoder = createFrameDecoder((bytes, start, end) => {
    seen.push(read(Buffer.from(bytes.subarray(start, end))));
  });
  let socket: net.Socket | undefined;
  const ended = Promise.withResolvers<unknown>();
  const connected = once(server, 'connection').then(([accepted]: net.Socket[]) => {
    socket = accepted;
    socket?.on('data', (chunk: Buffer) => decoder.push(chunk)).on('close', ended.resolve);
  });
  return {
    run: { workspaceId: name, runId: `${name}-1`, runDir },
    card,
    seen,
    connected,
    ended: ended.promise,
    send: (packet) => {
      socket!.write(prefixed(ethernet(plan.gatewayMac, card.mac, 0x0800, packet)));
    },
    async next(count) {
      while (seen.length < count) await new Promise((resolve) => setTimeout(resolve, 2));
      return seen.splice(0);
    },
  };
}

async function attached(network: Network, machine: Monitor): Promise<void> {
  const { backend } = await network.attach(machine.run, machine.card);
  expect(backend).toEqual({ kind: 'socket' });
  await network.connect(machine.run, machine.card);
  await machine.connected;
}

function question(name: string): Buffer {
  const labels = name
    .split('.')
    .map((label) => Buffer.from(`${String.fromCharCode(label.length)}${label}`));
  return Buffer.concat([
    Buffer.from([0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
    ...labels,
    Buffer.from([0, 0, 1, 0, 1]),
  ]);
}

describe('openUserNetwork', () => {
  it('connects members of a team over their cards, until the policy changes', async () => {
    const network = open();
    const a = await monitor('a', '10.42.0.2', { team: 't' });
    const b = await monitor('b', '10.42.0.3', { team: 't' });
    await attached(network, a);
    await attached(network, b);
    const syn = tcp({ from: '10.42.0.2', to: '10.42.0.3', ports: [4000, 22] });
    a.send(syn);
    expect(await b.next(1)).toMatchObject([{ kind: 'tcp', from: '10.42.0.2', ports: [4000, 22] }]);
    await network.apply({ ...cardOf('b', '10.42.0.3', {}), workspaceId: 'b' });
    a.send(syn);
    expect(await a.next(1)).toMatchObject([{ kind: 'tcp', flags: 20 }]);
    expect(b.seen).toEqual([]);
    expect(await network.traffic('a')).toMatchObject({ sentPackets: 1, deniedPackets: 1 });
    expect(await network.denials('a')).toMatchObject([
      { kind: 'connection', destination: '10.42.0.3', port: 22, protocol: 'tcp', count: 1 },
    ]);
  });

  it('resolves the names of machines that may be reached, and refuses others in the log', async () => {
    const network = open();
    const a = await monitor('a', '10.42.0.2', { team: 't' });
    const b = await monitor('b', '10.42.0.3', { team: 't' });
    await attached(network, a);
    await attached(network, b);
    const ask = (name: string): void => {
      a.send(udp({ from: '10.42.0.2', to: plan.gateway, ports: [5000, 53], data: question(name) }));
    };
    ask('b.coppice');
    const [answer] = await a.next(1);
    expect(answer).toMatchObject({ kind: 'udp', from: plan.gateway, ports: [53, 5000] });
    expect([...answer!.data.subarray(-4)]).toEqual([10, 42, 0, 3]);
    ask('example.com');
    await a.next(1);
    expect(await network.denials('a')).toMatchObject([
      { kind: 'name', destination: 'example.com' },
    ]);
  });

  it('closes the connection with the machine, and keeps what it was refused', async () => {
    const network = open();
    const a = await monitor('a', '10.42.0.2');
    await attached(network, a);
    a.send(tcp({ from: '10.42.0.2', to: '203.0.113.9' }));
    await a.next(1);
    await network.detach({ ...a.run, runId: 'another' });
    expect((await network.traffic('a')).deniedPackets).toBe(1);
    await network.detach(a.run);
    await a.ended;
    expect((await network.traffic('a')).deniedPackets).toBe(0);
    expect(await network.denials('a')).toHaveLength(1);
  });

  it('says what is missing for a way out, and resets connections meanwhile', async () => {
    const network = open();
    expect(await network.uplinkProblem()).toContain('apt-get install passt');
    expect(await network.checks()).toMatchObject([{ id: 'uplink', status: 'warning' }]);
    const a = await monitor('a', '10.42.0.2', { internet: 'full' });
    await attached(network, a);
    a.send(tcp({ from: '10.42.0.2', to: '203.0.113.9' }));
    expect(await a.next(1)).toMatchObject([{ kind: 'tcp', flags: 20 }]);
    expect((await network.denials('a'))[0]?.reason).toContain('passt');
  });

  it('gives machines without a card the same device and connects nothing', async () => {
    const network = open();
    const a = await monitor('a', '10.42.0.2');
    const { backend } = await network.attach(a.run, undefined);
    expect(backend).toEqual({ kind: 'socket' });
    await network.connect(a.run, undefined);
    const connected = await Promise.race([
      a.connected.then(() => true),
      new Promise((resolve) => setTimeout(() => resolve(false), 200)),
    ]);
    expect(connected).toBe(false);
    await network.detach(a.run);
  });
});
