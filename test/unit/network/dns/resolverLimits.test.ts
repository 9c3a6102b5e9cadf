import type * as dns from 'dns-packet';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  createResolver,
  type Resolver,
  type ResolverHost,
} from '../../../../helper-daemon/network/dns/resolver.ts';
import {
  a,
  allowing,
  ask,
  card,
  edns,
  query,
  read,
  reply,
  startNameServer,
  type NameServer,
} from './nameServer.ts';

let server: NameServer;
let resolver: Resolver;
let events: string[] = [];
let admit: ResolverHost['admit'];
const host: ResolverHost = {
  peer: () => undefined,
  admit: (...call) => admit(...call),
};

beforeEach(async () => {
  server = await startNameServer((asked) => reply(asked, [a(asked.name, '203.0.113.1')]));
  events = [];
  admit = async (asker, addresses, ports, seconds) => {
    events.push(`${asker.name} ${addresses.join()} ${JSON.stringify(ports)} ${seconds}`);
  };
  resolver = createResolver(host, { upstreams: [server.address] });
});

afterEach(async () => {
  vi.useRealTimers();
  resolver.close();
  await server.close();
});

describe('an answer over UDP', () => {
  const addresses = Array.from({ length: 60 }, (_, index) => `203.0.113.${index}`);
  const sizes: [string, dns.Answer[], number][] = [
    ['512 bytes without EDNS', [], 512],
    ['512 bytes where less is asked for', [edns(100)], 512],
    ['what EDNS asks for', [edns(700)], 700],
    ['1232 bytes at most', [edns(4096)], 1232],
  ];
  it.each(sizes)('has %s, and says where that was not enough', async (_, additionals, size) => {
    server.answer = (asked) =>
      asked.transport === 'udp'
        ? reply(asked, [], { flags: 1 << 9 })
        : reply(
            asked,
            addresses.flatMap((address) => [
              a(asked.name, address),
              { type: 'TXT', name: 'filler.test', ttl: 1, data: 'x'.repeat(20) },
            ]),
          );
    const asker = card(allowing('example.com'));
    const asked = query('example.com', 'A', { additionals });
    const cut = read((await resolver.answer(asker, asked, 'udp'))!);
    expect(cut.packet.flag_tc).toBe(true);
    expect(cut.bytes.length).toBeLessThanOrEqual(size);
    expect(cut.bytes.length).toBeGreaterThan(size - 50);
    const told = cut.records.filter((record) => record.startsWith('A '));
    expect(told).toEqual(addresses.slice(0, told.length).map((address) => `A ${address}`));
    const whole = read((await resolver.answer(asker, asked, 'tcp'))!);
    expect(whole.packet.flag_tc).toBe(false);
    expect(whole.records).toHaveLength(120);
  });

  it('speaks EDNS to who does', async () => {
    const asker = card({ internet: 'full' });
    const without = read((await resolver.answer(asker, query('example.com'), 'udp'))!);
    expect(without.packet.additionals).toEqual([]);
    const asked = query('example.com', 'A', { additionals: [edns(1400)] });
    const withIt = read((await resolver.answer(asker, asked, 'udp'))!);
    expect(withIt.packet.additionals).toMatchObject([{ type: 'OPT', udpPayloadSize: 1232 }]);
    expect(server.asked.map(({ packet }) => packet.additionals!.length)).toEqual([0, 1]);
  });
});

describe('many questions at once', () => {
  it('are one where they are the same and come from the same machine', async () => {
    const [one, other] = [card({ internet: 'full' }), card({ internet: 'full' })];
    const answers = await Promise.all([
      ask(resolver, one, 'example.com'),
      ask(resolver, one, 'EXAMPLE.com'),
      ask(resolver, one, 'example.com', 'TXT'),
      ask(resolver, other, 'example.com'),
    ]);
    expect(answers.map(({ rcode }) => rcode)).toEqual(Array(4).fill('NOERROR'));
    expect(answers[1].packet.questions![0]!.name).toBe('EXAMPLE.com');
    expect(server.asked.map(({ name, type }) => `${name} ${type}`).sort()).toEqual([
      'example.com A',
      'example.com A',
      'example.com TXT',
    ]);
  });

  it('are not one where the policy has changed between them', async () => {
    const before = card(allowing('a.test:80'));
    const after = { ...before, ...card(allowing('a.test:443')), workspaceId: before.workspaceId };
    await Promise.all([ask(resolver, before, 'a.test'), ask(resolver, after, 'a.test')]);
    expect(events.map((event) => /\[\[.*\]\]/.exec(event)?.[0]).sort()).toEqual([
      '[[443,443]]',
      '[[80,80]]',
    ]);
  });

  it('are dropped beyond 32 of one machine, which costs no other machine anything', async () => {
    const waiting: (() => void)[] = [];
    admit = () => new Promise((resolve) => waiting.push(resolve));
    const [one, other] = [card(allowing('.test')), card({ internet: 'full' })];
    const many = Array.from({ length: 40 }, (_, index) =>
      resolver.answer(one, query(`n${index}.test`), 'udp'),
    );
    expect((await ask(resolver, other, 'example.com')).rcode).toBe('NOERROR');
    await expect.poll(() => waiting.length).toBe(32);
    for (const resolve of waiting) resolve();
    const answered = (await Promise.all(many)).map((bytes) => bytes !== undefined);
    expect(answered).toEqual([...Array<boolean>(32).fill(true), ...Array<boolean>(8).fill(false)]);
    const again = ask(resolver, one, 'again.test');
    await expect.poll(() => waiting.length).toBe(33);
    waiting[32]!();
    expect((await again).rcode).toBe('NOERROR');
  });

  it('are dropped beyond 512 of all', async () => {
    server.answer = () => undefined;
    const pending = Array.from({ length: 17 }, () => card({ internet: 'full' })).flatMap((asker) =>
      Array.from({ length: 32 }, (_, index) =>
        resolver.answer(asker, query(`n${index}.test`), 'udp').then((bytes) => bytes === undefined),
      ),
    );
    const early = Promise.race(pending.slice(0, 512)).then(() => 'one that should wait');
    const late = Promise.all(pending.slice(512)).then(
      (all) => `dropped ${all.filter(Boolean).length}`,
    );
    const first = await Promise.race([early, late]);
    expect(first).toBe('dropped 32');
  });
});

describe('the end', () => {
  it('of the resolver leaves what was asked without an answer', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout'] });
    server.answer = () => undefined;
    const pending = resolver.answer(card({ internet: 'full' }), query('a.test'), 'udp');
    await expect.poll(() => server.asked.length).toBe(1);
    resolver.close();
    expect(await pending).toBeUndefined();
    expect(await resolver.answer(card({}), query('b.test'), 'udp')).toBeUndefined();
  });

  it('of a workspace ends its questions and no others', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout'] });
    let release = (): void => undefined;
    admit = () => new Promise((resolve) => (release = resolve));
    const [one, other] = [card({ internet: 'full' }), card(allowing('a.test'))];
    const kept = ask(resolver, other, 'a.test');
    await expect.poll(() => server.asked.length).toBe(1);
    server.answer = () => undefined;
    const pending = resolver.answer(one, query('a.test'), 'udp');
    await expect.poll(() => server.asked.length).toBe(2);
    resolver.forget(one.workspaceId);
    expect(await pending).toBeUndefined();
    release();
    expect((await kept).rcode).toBe('NOERROR');
  });
});
