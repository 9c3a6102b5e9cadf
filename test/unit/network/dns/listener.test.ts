import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { listenDns } from '../../../../helper-daemon/network/dns/listener.ts';
import { createResolver, type Resolver } from '../../../../helper-daemon/network/dns/resolver.ts';
import { card, framed, query, read } from './nameServer.ts';

const one = card({}, '127.0.0.1');
const other = card({}, '127.0.0.2');
const cards = new Map([one, other].map((known) => [known.address, known]));
const questionFor = (name: string): Buffer => framed(query(`${name}.coppice`));

let port = 0;
let resolver: Resolver;
let listener: { close(): Promise<void> } | undefined;
const clients: net.Socket[] = [];

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const found = (server.address() as net.AddressInfo).port;
  await new Promise((resolve) => server.close(resolve));
  return found;
}

beforeEach(async () => {
  resolver = createResolver(
    // Every name is a machine whose address says who asked.
    { peer: (asker) => asker, admit: () => Promise.resolve() },
    { upstreams: [] },
  );
  port = await freePort();
  listener = await listenDns(resolver, (address) => cards.get(address), '127.0.0.1', port);
});

afterEach(async () => {
  vi.useRealTimers();
  for (const client of clients.splice(0)) client.destroy();
  resolver.close();
  await listener?.close();
  listener = undefined;
});

/** The same listener, with answers of the test. */
async function listenWith(answer: Resolver['answer']): Promise<void> {
  await listener?.close();
  const other = { ...resolver, answer };
  listener = await listenDns(other, (address) => cards.get(address), '127.0.0.1', port);
}

interface Client {
  readonly socket: net.Socket;
  /** Names of the questions that were answered, in order. */
  readonly answered: () => string[];
  readonly isClosed: () => boolean;
}

async function connect(from = '127.0.0.1'): Promise<Client> {
  const socket = net.connect({ host: '127.0.0.1', port, localAddress: from });
  clients.push(socket);
  let received: Buffer = Buffer.alloc(0);
  let closed = false;
  socket.on('error', () => undefined);
  socket.on('close', () => (closed = true));
  socket.on('data', (chunk) => (received = Buffer.concat([received, chunk])));
  await once(socket, 'connect');
  const answered = (): string[] => {
    const names: string[] = [];
    for (let at = 0; at + 2 <= received.length;) {
      const end = at + 2 + received.readUInt16BE(at);
      if (end > received.length) break;
      const { packet, records } = read(received.subarray(at + 2, end));
      names.push(`${packet.questions![0]!.name} ${records.join()}`);
      at = end;
    }
    return names;
  };
  return { socket, answered, isClosed: () => closed };
}

describe('over UDP', () => {
  it('who asks is known by the source address, and strangers get no answer', async () => {
    const received: string[] = [];
    const sockets: dgram.Socket[] = [];
    for (const from of ['127.0.0.3', '127.0.0.1', '127.0.0.2']) {
      const socket = dgram.createSocket('udp4');
      socket.on('message', (bytes) => received.push(`${from}: ${read(bytes).records.join()}`));
      socket.bind(0, from);
      await once(socket, 'listening');
      socket.send(query('a.coppice'), port, '127.0.0.1');
      sockets.push(socket);
      // The stranger's question was sent first: by the last answer its own would be here, too.
      if (from !== '127.0.0.3') await once(socket, 'message');
    }
    for (const socket of sockets) socket.close();
    expect(received).toEqual(['127.0.0.1: A 127.0.0.1', '127.0.0.2: A 127.0.0.2']);
  });

  it('garbage has no answer, and what follows it has one', async () => {
    const socket = dgram.createSocket('udp4').bind(0, '127.0.0.1');
    await once(socket, 'listening');
    socket.connect(port, '127.0.0.1');
    await once(socket, 'connect');
    for (const bytes of [Buffer.alloc(0), Buffer.alloc(5), Buffer.alloc(600, 0xff)]) {
      socket.send(bytes);
    }
    socket.send(query('a.coppice'));
    const [bytes] = (await once(socket, 'message')) as [Buffer];
    expect(read(bytes).records).toEqual(['A 127.0.0.1']);
    socket.close();
  });
});

describe('over TCP', () => {
  it('questions are answered in order, however they are cut', async () => {
    const names = Array.from({ length: 50 }, (_, index) => `n${index}`);
    const stream = Buffer.concat(names.map(questionFor));
    const expected = names.map((name) => `${name}.coppice A 127.0.0.1`);
    for (const size of [1, 7, stream.length]) {
      const { socket, answered } = await connect();
      socket.setNoDelay(true);
      for (let at = 0; at < stream.length; at += size) {
        socket.write(stream.subarray(at, at + size));
        if (size === 1 && at % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      await expect.poll(answered).toEqual(expected);
      socket.destroy();
    }
  });

  it('a question of 64 KiB is read to its end, and is malformed', async () => {
    const { socket, answered } = await connect();
    socket.write(framed(Buffer.concat([query('big.coppice'), Buffer.alloc(65_000)])));
    socket.write(questionFor('small'));
    let bytes = Buffer.alloc(0);
    socket.on('data', (chunk) => (bytes = Buffer.concat([bytes, chunk])));
    await expect.poll(() => bytes.length).toBeGreaterThan(14);
    expect(bytes.subarray(0, 6).toString('hex')).toBe('000c10e18101');
    expect(answered).toThrow();
    expect(read(bytes.subarray(16)).records).toEqual(['A 127.0.0.1']);
  });

  it('the answer comes also to who has said everything', async () => {
    await listenWith(async (...question) => {
      await new Promise((resolve) => setTimeout(resolve, 50));
      return await resolver.answer(...question);
    });
    const { socket, answered, isClosed } = await connect('127.0.0.2');
    socket.end(questionFor('last'));
    await expect.poll(isClosed).toBe(true);
    expect(answered()).toEqual(['last.coppice A 127.0.0.2']);
  });

  it('strangers are not let in, and nobody more than eight times', async () => {
    const stranger = await connect('127.0.0.3');
    await expect.poll(stranger.isClosed).toBe(true);
    const mine: Client[] = [];
    for (let index = 0; index < 8; index += 1) mine.push(await connect());
    const ninth = await connect();
    await expect.poll(ninth.isClosed).toBe(true);
    const theirs = await connect('127.0.0.2');
    for (const client of [...mine, theirs]) client.socket.write(questionFor('a'));
    await expect
      .poll(() => mine.map(({ answered }) => answered().length))
      .toEqual(Array(8).fill(1));
    await expect.poll(theirs.answered).toHaveLength(1);
    mine[0]!.socket.destroy();
    await expect
      .poll(async () => {
        const again = await connect();
        again.socket.write(questionFor('again'));
        await Promise.race([once(again.socket, 'data'), once(again.socket, 'close')]);
        return again.answered();
      })
      .toEqual(['again.coppice A 127.0.0.1']);
  });

  it('who sends half a question, or one byte now and then, is let go', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const half = await connect();
    const slow = await connect();
    const busy = await connect();
    const bytes = questionFor('slow');
    half.socket.write(bytes.subarray(0, 20));
    for (let second = 0; second < 9; second += 3) {
      slow.socket.write(bytes.subarray(second, second + 1));
      busy.socket.write(questionFor('busy'));
      await expect.poll(() => busy.answered().length).toBe(second / 3 + 1);
      vi.advanceTimersByTime(3000);
    }
    expect([half, slow, busy].map(({ isClosed }) => isClosed())).toEqual([false, false, false]);
    vi.advanceTimersByTime(2000);
    await expect.poll(() => [half.isClosed(), slow.isClosed()]).toEqual([true, true]);
    busy.socket.write(questionFor('busy'));
    await expect.poll(() => busy.answered().length).toBe(4);
    vi.advanceTimersByTime(10_000);
    await expect.poll(busy.isClosed).toBe(true);
  });

  it('time is counted from the last question, and from the last answer', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    let release: (() => void) | undefined;
    await listenWith(async (...question) => {
      await new Promise<void>((resolve) => (release = resolve));
      return await resolver.answer(...question);
    });
    const { socket, answered, isClosed } = await connect();
    for (let count = 1; count < 4; count += 1) {
      vi.advanceTimersByTime(6000);
      socket.write(questionFor('slow'));
      await expect.poll(() => release).toBeDefined();
      vi.advanceTimersByTime(6000);
      release!();
      release = undefined;
      await expect.poll(() => answered().length).toBe(count);
    }
    vi.advanceTimersByTime(10_000);
    await expect.poll(isClosed).toBe(true);
  });

  it('who does not take the answers is not read from, and let go', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    let answers = 0;
    await listenWith(() => {
      answers += 1;
      return Promise.resolve(Buffer.alloc(60_000));
    });
    const socket = net.connect({ host: '127.0.0.1', port });
    clients.push(socket);
    socket.on('error', () => undefined);
    const asked = 20_000;
    socket.write(Buffer.concat(Array<Buffer>(asked).fill(questionFor('a'))));
    let before = -1;
    await expect
      .poll(() => [answers > 0 && answers === before, (before = answers)][0], { interval: 200 })
      .toBe(true);
    expect(answers).toBeLessThan(asked / 10);
    vi.advanceTimersByTime(10_000);
    socket.resume();
    await expect.poll(() => socket.closed).toBe(true);
    expect(answers).toBe(before);
  });
});

describe('the sockets', () => {
  it('are given back, with every connection, when the listener is closed', async () => {
    const client = await connect();
    await listener!.close();
    await expect.poll(client.isClosed).toBe(true);
    listener = await listenDns(resolver, (address) => cards.get(address), '127.0.0.1', port);
    const again = await connect();
    again.socket.write(questionFor('a'));
    await expect.poll(again.answered).toHaveLength(1);
  });

  it('are both there or none, and whoever holds one is named by its port', async () => {
    await listener!.close();
    listener = undefined;
    const tcp = net.createServer().listen(port, '127.0.0.1');
    await once(tcp, 'listening');
    const listen = (): Promise<unknown> => listenDns(resolver, () => undefined, '127.0.0.1', port);
    await expect(listen()).rejects.toMatchObject({ code: 'port_taken' });
    const udp = dgram.createSocket('udp4').bind(port, '127.0.0.1');
    await once(udp, 'listening');
    tcp.close();
    await expect(listen()).rejects.toMatchObject({ code: 'port_taken' });
    udp.close();
  });
});
