import * as dns from 'dns-packet';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createResolver, type Resolver } from '../../../../helper-daemon/network/dns/resolver.ts';
import {
  a,
  ask,
  card,
  query,
  reply,
  startNameServer,
  type Asked,
  type NameServer,
} from './nameServer.ts';

const servers: NameServer[] = [];
let resolver: Resolver | undefined;
const asker = card({ internet: 'full' });

afterEach(async () => {
  vi.useRealTimers();
  resolver?.close();
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

async function start(...answers: NameServer['answer'][]): Promise<Resolver> {
  for (const answer of answers) servers.push(await startNameServer(answer));
  resolver = createResolver(
    { peer: () => undefined, admit: () => Promise.resolve() },
    { upstreams: servers.map(({ address }) => address) },
  );
  return resolver;
}

const silent = (): undefined => undefined;
const right = (asked: Asked): Buffer => reply(asked, [a(asked.name, '203.0.113.1')]);
const wrong = (asked: Asked): dns.Answer[] => [a(asked.name, '198.51.100.66')];

describe('asking a name server', () => {
  it('goes from a port and with an id that are new each time', async () => {
    await start(right);
    for (let index = 0; index < 8; index += 1) await ask(resolver!, asker, `n${index}.test`);
    const { asked } = servers[0]!;
    expect(new Set(asked.map(({ port }) => port)).size).toBeGreaterThan(1);
    expect(new Set(asked.map(({ packet }) => packet.id)).size).toBeGreaterThan(1);
  });

  it.each<[string, (asked: Asked) => Buffer]>([
    ['another id', (asked) => reply(asked, wrong(asked), { id: asked.packet.id! ^ 1 })],
    [
      'another name',
      (asked) => {
        const questions = [{ name: 'exemple.com', type: 'A' as const }];
        return reply({ ...asked, packet: { ...asked.packet, questions } }, wrong(asked));
      },
    ],
    [
      'another type',
      (asked) => {
        const questions = [{ name: asked.name, type: 'TXT' as const }];
        return reply({ ...asked, packet: { ...asked.packet, questions } }, wrong(asked));
      },
    ],
    [
      'no question',
      (asked) => reply({ ...asked, packet: { ...asked.packet, questions: [] } }, wrong(asked)),
    ],
    ['the question itself', (asked) => asked.bytes],
    ['half a header', (asked) => asked.bytes.subarray(0, 6)],
  ])('passes over a reply with %s', async (_, forged) => {
    await start((asked) => [forged(asked), right(asked)]);
    expect((await ask(resolver!, asker, 'example.com')).records).toEqual(['A 203.0.113.1']);
    expect(servers[0]!.asked).toHaveLength(1);
  });

  it('wants it to find out, whatever the machine wants', async () => {
    await start(right);
    expect(await resolver!.answer(asker, query('a.test', 'A', { flags: 0 }), 'udp')).toBeDefined();
    expect(servers[0]!.asked[0]!.packet.flag_rd).toBe(true);
  });

  it('takes a reply that repeats the name in other letters', async () => {
    await start((asked) => {
      const questions = [{ name: asked.name.toUpperCase(), type: 'A' as const }];
      return reply({ ...asked, packet: { ...asked.packet, questions } }, [
        a('EXAMPLE.com', '203.0.113.1'),
      ]);
    });
    expect((await ask(resolver!, asker, 'example.com')).records).toEqual(['A 203.0.113.1']);
  });

  it('asks the next one where the first is silent', async () => {
    await start(silent, right);
    expect((await ask(resolver!, asker, 'example.com')).records).toEqual(['A 203.0.113.1']);
    expect(servers.map(({ asked }) => asked.length)).toEqual([1, 1]);
  });

  it('asks the next one at once where nothing listens, or what came cannot be read', async () => {
    // Nothing here has to wait for time to pass.
    vi.useFakeTimers({ toFake: ['setTimeout'] });
    const gone = await startNameServer(silent);
    servers.push(gone);
    await start((asked) => Buffer.concat([right(asked).subarray(0, -3)]), right);
    await gone.close();
    servers.shift();
    expect((await ask(resolver!, asker, 'example.com')).records).toEqual(['A 203.0.113.1']);
    expect(servers.map(({ asked }) => asked.length)).toEqual([1, 1]);
  });

  it.each([
    [2, 'SERVFAIL'],
    [5, 'SERVFAIL'],
    [1, 'FORMERR'],
    [4, 'NOTIMP'],
  ])('asks the next one after rcode %i, and says %s where there is none', async (flags, said) => {
    await start((asked) => reply(asked, [], { flags }), right);
    expect((await ask(resolver!, asker, 'example.com')).rcode).toBe('NOERROR');
    servers[1]!.answer = (asked) => reply(asked, [], { flags });
    expect((await ask(resolver!, asker, 'example.com')).rcode).toBe(said);
    expect(servers.map(({ asked }) => asked.length)).toEqual([2, 2]);
  });

  it('asks twice before it gives up', async () => {
    await start(silent);
    expect((await ask(resolver!, asker, 'example.com')).rcode).toBe('SERVFAIL');
    expect(servers[0]!.asked.length).toBe(2);
  });

  it('asks again over TCP where the reply was cut, and takes nothing cut', async () => {
    const many = Array.from({ length: 40 }, (_, index) => `203.0.113.${index}`);
    const all = (asked: Asked): dns.Answer[] => many.map((address) => a(asked.name, address));
    await start((asked) =>
      asked.transport === 'udp'
        ? reply(asked, all(asked).slice(0, 3), { flags: dns.TRUNCATED_RESPONSE })
        : reply(asked, all(asked)),
    );
    const answer = await ask(resolver!, asker, 'a.test');
    expect(answer.packet.flag_tc).toBe(true);
    expect(answer.records.length).toBeGreaterThan(20);
    expect(servers[0]!.asked.map(({ transport }) => transport)).toEqual(['udp', 'tcp']);
    servers[0]!.answer = (asked) => reply(asked, all(asked), { flags: dns.TRUNCATED_RESPONSE });
    expect((await ask(resolver!, asker, 'b.test')).rcode).toBe('SERVFAIL');
  });

  it('takes no reply over TCP that belongs to another question', async () => {
    await start((asked) =>
      asked.transport === 'udp'
        ? reply(asked, [], { flags: dns.TRUNCATED_RESPONSE })
        : reply(asked, wrong(asked), { id: asked.packet.id! ^ 1 }),
    );
    expect((await ask(resolver!, asker, 'example.com')).rcode).toBe('SERVFAIL');
  });
});
