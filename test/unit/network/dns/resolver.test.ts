import * as dns from 'dns-packet';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  createResolver,
  type Resolver,
  type ResolverHost,
} from '../../../../helper-daemon/network/dns/resolver.ts';
import type { Card } from '../../../../helper-daemon/network/network.ts';
import {
  a,
  allowing,
  ask,
  card,
  cname,
  query,
  read,
  reply,
  startNameServer,
  type NameServer,
} from './nameServer.ts';

let server: NameServer;
let resolver: Resolver;
let now = 1_000_000;
let events: string[] = [];
let admit: ResolverHost['admit'];
const peers = new Map<string, Card>();
const host: ResolverHost = {
  peer: (_asker, name) => peers.get(name),
  admit: (...call) => admit(...call),
};

beforeEach(async () => {
  server = await startNameServer((asked) => reply(asked, [a(asked.name, '203.0.113.1')]));
  events = [];
  admit = async (asker, addresses, ports, seconds) => {
    events.push(`${asker.name} ${addresses.join()} ${JSON.stringify(ports)} ${seconds}`);
  };
  resolver = createResolver(host, { upstreams: [server.address], now: () => now });
});

afterEach(async () => {
  resolver.close();
  peers.clear();
  await server.close();
});

describe('a machine without internet', () => {
  it('resolves no name outside, and what it asked for is noted', async () => {
    const asker = card({ allow: ['example.com'] });
    expect((await ask(resolver, asker, 'Example.com')).rcode).toBe('REFUSED');
    now += 5;
    expect((await ask(resolver, asker, 'example.com', 'AAAA')).rcode).toBe('REFUSED');
    expect((await ask(resolver, asker, 'other.test', 'MX')).rcode).toBe('REFUSED');
    expect(server.asked).toEqual([]);
    const denial = { kind: 'name', port: undefined, protocol: 'dns', lastAt: now };
    const reason = 'internet is off';
    expect(resolver.denials(asker.workspaceId)).toEqual([
      { ...denial, destination: 'other.test', count: 1, reason },
      { ...denial, destination: 'example.com', count: 2, reason },
    ]);
    resolver.forget(asker.workspaceId);
    expect(resolver.denials(asker.workspaceId)).toEqual([]);
  });
});

describe('a machine with an allow-list', () => {
  it.each([
    ['example.com', 'example.com', true],
    ['example.com', 'EXAMPLE.cOm', true],
    ['example.com', 'www.example.com', false],
    ['*.example.com', 'example.com', false],
    ['*.example.com', 'a.b.Example.com', true],
    ['*.example.com', 'notexample.com', false],
    ['.example.com', 'example.com', true],
    ['.example.com', 'x.example.com', true],
    ['.example.com', 'notexample.com', false],
    ['.example.com', 'example.com.evil.test', false],
    ['Example.COM.', 'example.com', true],
    ['*', 'anything.test', true],
    ['*:443', 'anything.test', true],
    ['203.0.113.0/24', 'anything.test', false],
  ])('that names %s: %s is resolved: %s', async (target, name, allowed) => {
    const asker = card(allowing(target));
    const answer = await ask(resolver, asker, name);
    expect(answer.rcode).toBe(allowed ? 'NOERROR' : 'REFUSED');
    expect(answer.records).toEqual(allowed ? ['A 203.0.113.1'] : []);
    expect(server.asked.map((asked) => asked.name)).toEqual(allowed ? [name.toLowerCase()] : []);
    expect(resolver.denials(asker.workspaceId).map(({ reason }) => reason)).toEqual(
      allowed ? [] : ['not in the allow-list'],
    );
  });

  it('has an address opened before it is told of it, at the ports of every target that names it', async () => {
    const asker = card(allowing('example.com:443', '.example.com:8000-8010', 'other.com', '*:80'));
    admit = async (...[, addresses, ports, seconds]) => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      events.push(`opened ${addresses.join()} ${JSON.stringify(ports)} ${seconds}`);
    };
    await ask(resolver, asker, 'example.com').then(() => events.push('answered'));
    expect(events).toEqual(['opened 203.0.113.1 [[443,443],[8000,8010]] 120', 'answered']);
  });

  it('has nothing opened for a name that only a wider target allows', async () => {
    await ask(resolver, card(allowing('*:443')), 'example.com');
    await ask(resolver, card({ internet: 'full', allow: ['example.com:22'] }), 'example.com');
    expect(server.asked).toHaveLength(2);
    expect(events).toEqual([]);
  });

  it('gets no answer with an address that could not be opened', async () => {
    admit = () => Promise.reject(new Error('no'));
    const asker = card(allowing('example.com'));
    const answer = await ask(resolver, asker, 'example.com');
    expect([answer.rcode, answer.records]).toEqual(['SERVFAIL', []]);
    expect((await ask(resolver, card({ internet: 'full' }), 'example.com')).rcode).toBe('NOERROR');
  });

  it.each([
    [0, 0, 90],
    [10, 10, 90],
    [200, 200, 260],
    [3600, 300, 3660],
    [1_000_000, 300, 86_400],
    [0x8000_0000, 0, 90],
  ])('is told a lifetime of %i s as %i s, and may connect for %i s', async (ttl, told, open) => {
    server.answer = (asked) =>
      reply(asked, [cname(asked.name, 'x.test', ttl), a('x.test', '203.0.113.1', ttl)]);
    const asker = card(allowing('example.com'));
    const answer = await ask(resolver, asker, 'example.com');
    expect(answer.ttls).toEqual([told, told]);
    expect(events).toEqual([`${asker.name} 203.0.113.1 [null] ${open}`]);
  });

  it('follows an alias to anywhere: what counts is the name asked for', async () => {
    server.answer = (asked) =>
      reply(asked, [
        cname(asked.name, 'edge.cdn.test'),
        cname('edge.cdn.test', 'n7.cdn.test'),
        a('n7.cdn.test', '203.0.113.7'),
      ]);
    const answer = await ask(resolver, card(allowing('example.com')), 'example.com');
    expect(answer.records).toEqual(['CNAME edge.cdn.test', 'CNAME n7.cdn.test', 'A 203.0.113.7']);
    expect(answer.packet.answers!.map(({ name }) => name)).toEqual([
      'example.com',
      'edge.cdn.test',
      'n7.cdn.test',
    ]);
    expect((await ask(resolver, card(allowing('example.com')), 'n7.cdn.test')).rcode).toBe(
      'REFUSED',
    );
  });

  it('gets at most 64 addresses of one name, and no other is opened', async () => {
    const many = Array.from({ length: 100 }, (_, index) => `203.0.113.${index}`);
    server.answer = (asked) =>
      asked.transport === 'udp'
        ? reply(asked, [], { flags: 1 << 9 })
        : reply(
            asked,
            many.map((address) => a(asked.name, address)),
          );
    const asker = card(allowing('example.com'));
    const bytes = await resolver.answer(asker, query('example.com'), 'tcp');
    expect(read(bytes!).records).toEqual(many.slice(0, 64).map((address) => `A ${address}`));
    expect(events).toEqual([`${asker.name} ${many.slice(0, 64).join()} [null] 120`]);
  });
});

describe('an answer that points to a private address', () => {
  it.each([
    ['127.0.0.1'],
    ['10.1.2.3'],
    ['10.42.0.1'],
    ['169.254.169.254'],
    ['192.168.1.1'],
    ['172.31.0.9'],
    ['100.64.0.1'],
    ['0.0.0.0'],
    ['224.0.0.1'],
    ['255.255.255.255'],
  ])('as %s is refused and noted, whoever asks', async (address) => {
    server.answer = (asked) =>
      reply(asked, [cname(asked.name, 'in.test'), a('in.test', address, 60)]);
    for (const policy of [{ internet: 'full' } as const, allowing('*'), allowing('evil.test')]) {
      const asker = card(policy);
      const answer = await ask(resolver, asker, 'evil.test');
      expect([answer.rcode, answer.records]).toEqual(['REFUSED', []]);
      expect(resolver.denials(asker.workspaceId)).toMatchObject([
        { destination: 'evil.test', count: 1, reason: 'points to a private address' },
      ]);
    }
    expect(events).toEqual([]);
  });

  it('loses that address where it has public ones too', async () => {
    server.answer = (asked) =>
      reply(asked, [
        a(asked.name, '127.0.0.1'),
        a(asked.name, '203.0.113.9'),
        a(asked.name, '10.0.0.1'),
      ]);
    const asker = card(allowing('evil.test'));
    expect((await ask(resolver, asker, 'evil.test')).records).toEqual(['A 203.0.113.9']);
    expect(events).toEqual([`${asker.name} 203.0.113.9 [null] 120`]);
    expect(resolver.denials(asker.workspaceId)).toEqual([]);
  });

  it('is told where a CIDR names the address, which a name opens at no other port', async () => {
    server.answer = (asked) => reply(asked, [a(asked.name, '10.1.2.3'), a(asked.name, '10.9.9.9')]);
    const asker = card(allowing('corp.test:22', '10.1.0.0/16:443'));
    expect((await ask(resolver, asker, 'corp.test')).records).toEqual(['A 10.1.2.3']);
    expect(events).toEqual([]);
  });

  it('does not get through beside the answer, or to another question', async () => {
    server.answer = (asked) =>
      reply(asked, [a(asked.name, '203.0.113.9')], { additionals: [a('x.test', '10.0.0.1')] });
    const full = card({ internet: 'full' });
    expect((await ask(resolver, full, 'evil.test')).packet.additionals).toEqual([]);
    server.answer = (asked) =>
      reply(asked, [
        { type: 'MX', name: asked.name, ttl: 60, data: { preference: 1, exchange: 'm.test' } },
        a('m.test', '10.0.0.1'),
        a('m.test', '203.0.113.9'),
        { type: 'AAAA', name: 'm.test', ttl: 60, data: '::1' },
      ]);
    expect((await ask(resolver, full, 'evil.test', 'MX')).records).toEqual([
      'MX {"preference":1,"exchange":"m.test"}',
    ]);
  });

  it('does not get through as an authority', async () => {
    server.answer = (asked) =>
      dns.encode({
        type: 'response',
        id: asked.packet.id,
        questions: asked.packet.questions,
        authorities: [
          { type: 'NS', name: 'evil.test', ttl: 60, data: 'ns.test' },
          a('ns.test', '10.0.0.1'),
        ],
      });
    const { packet } = await ask(resolver, card({ internet: 'full' }), 'evil.test');
    expect(packet.authorities!.map(({ type }) => type)).toEqual(['NS']);
  });

  it('leaves an answer that is no longer the one that was verified', async () => {
    const asker = card({ internet: 'full' });
    const answers = [a('a.test', '203.0.113.9'), a('a.test', '10.0.0.1')];
    for (const [given, verified] of [
      [answers.slice(0, 1), true],
      [answers, false],
    ] as const) {
      server.answer = (asked) => reply(asked, [...given], { flags: dns.AUTHENTIC_DATA });
      expect((await ask(resolver, asker, 'a.test')).packet.flag_ad).toBe(verified);
    }
  });

  it('is told apart from a name without addresses', async () => {
    server.answer = (asked) => reply(asked, []);
    const asker = card({ internet: 'full' });
    expect((await ask(resolver, asker, 'empty.test')).rcode).toBe('NOERROR');
    server.answer = (asked) => reply(asked, [], { flags: 3 });
    expect((await ask(resolver, asker, 'none.test')).rcode).toBe('NXDOMAIN');
    expect(resolver.denials(asker.workspaceId)).toEqual([]);
  });
});

describe('the kind of question', () => {
  it.each([['AAAA'], ['UNKNOWN_64'], ['UNKNOWN_65']])(
    'of type %s has an empty answer without anybody being asked',
    async (type) => {
      const answer = await ask(resolver, card(allowing('example.com')), 'example.com', type);
      expect([answer.rcode, answer.records]).toEqual(['NOERROR', []]);
      expect(server.asked).toEqual([]);
    },
  );

  it.each([['ANY'], ['AXFR'], ['IXFR']])('of type %s is refused', async (type) => {
    const asker = card({ internet: 'full' });
    expect((await ask(resolver, asker, 'example.com', type)).rcode).toBe('REFUSED');
    expect(server.asked).toEqual([]);
  });

  it('for the options of a message is none', async () => {
    expect((await ask(resolver, card({ internet: 'full' }), 'a.test', 'OPT')).rcode).toBe(
      'FORMERR',
    );
  });

  it.each<[string, dns.Answer]>([
    ['TXT', { type: 'TXT', name: 'example.com', ttl: 60, data: [Buffer.from('v=1; a=b')] }],
    [
      'SRV',
      {
        type: 'SRV',
        name: 'example.com',
        ttl: 60,
        data: { priority: 1, weight: 2, port: 3, target: 's.test' },
      },
    ],
    ['NS', { type: 'NS', name: 'example.com', ttl: 60, data: 'ns.test' }],
    [
      'CAA',
      { type: 'CAA', name: 'example.com', ttl: 60, data: { tag: 'issue', value: 'ca.test' } },
    ],
    [
      'DS',
      {
        type: 'DS',
        name: 'example.com',
        ttl: 60,
        data: { keyTag: 1, algorithm: 2, digestType: 3, digest: Buffer.from('d') },
      },
    ],
  ])('of type %s is passed on as it is', async (type, record) => {
    server.answer = (asked) => reply(asked, [record]);
    const { packet } = await ask(resolver, card(allowing('example.com')), 'example.com', type);
    const { data } = record as { data: object };
    expect(packet.answers).toMatchObject([{ type, name: 'example.com', ttl: 60, data }]);
  });

  it.each([
    ['1.0.0.127.in-addr.arpa'],
    ['5.0.42.10.in-addr.arpa'],
    ['168.192.in-addr.arpa'],
    ['10.in-addr.arpa'],
    ['1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa'],
  ])('for the name of a private address, %s, has no answer', async (name) => {
    for (const policy of [{ internet: 'full' } as const, {}]) {
      expect((await ask(resolver, card(policy), name, 'PTR')).rcode).toBe('NXDOMAIN');
    }
    expect(server.asked).toEqual([]);
  });

  it('for the name of a public address is passed where every name is', async () => {
    server.answer = (asked) =>
      reply(asked, [{ type: 'PTR', name: asked.name, ttl: 60, data: 'h.test' }]);
    const name = '8.113.0.203.in-addr.arpa';
    for (const policy of [{ internet: 'full' } as const, allowing('*:443')]) {
      expect((await ask(resolver, card(policy), name, 'PTR')).records).toEqual(['PTR h.test']);
    }
    for (const target of ['example.com', '*.in-addr.arpa', '203.0.113.0/24']) {
      expect((await ask(resolver, card(allowing(target)), name, 'PTR')).rcode).toBe('REFUSED');
    }
  });
});

describe('the name of a machine', () => {
  it('has the address of the one that the asker may reach, even without internet', async () => {
    peers.set('db.v2', card({}, '10.42.0.77'));
    const asker = card({});
    const answer = await ask(resolver, asker, 'DB.v2.Coppice');
    expect([answer.rcode, answer.records, answer.ttls]).toEqual(['NOERROR', ['A 10.42.0.77'], [5]]);
    expect((await ask(resolver, asker, 'db.v2.coppice', 'AAAA')).records).toEqual([]);
    expect((await ask(resolver, asker, 'db.v2.coppice', 'MX')).rcode).toBe('NOERROR');
  });

  it('does not exist otherwise, and is never asked for outside', async () => {
    const asker = card({ internet: 'full' });
    for (const name of ['web.coppice', 'coppice', 'a.b.coppice']) {
      for (const type of ['A', 'AAAA', 'TXT']) {
        expect((await ask(resolver, asker, name, type)).rcode).toBe('NXDOMAIN');
      }
    }
    expect(server.asked).toEqual([]);
    expect(resolver.denials(asker.workspaceId)).toEqual([]);
    expect((await ask(resolver, asker, 'notcoppice')).rcode).toBe('NOERROR');
  });
});
