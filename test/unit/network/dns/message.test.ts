import * as dns from 'dns-packet';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  maxMessageBytes,
  readQuestion,
  readReply,
  writeReply,
  type Question,
} from '../../../../helper-daemon/network/dns/message.ts';
import { createResolver, type Resolver } from '../../../../helper-daemon/network/dns/resolver.ts';
import {
  a,
  card,
  cname,
  edns,
  query,
  read,
  startNameServer,
  type NameServer,
} from './nameServer.ts';

function question(bytes: Uint8Array): Question {
  const found = readQuestion(bytes);
  if (found === undefined || !('question' in found)) throw new Error('not a question');
  return found.question;
}

/** What is answered to something that is no question; undefined: nothing. */
function rejection(bytes: Uint8Array): string | undefined {
  const found = readQuestion(bytes);
  if (found !== undefined && 'question' in found) throw new Error('a question');
  return found && read(found.reply).rcode;
}

/** The query with one 16-bit word of its header changed. */
function withWord(bytes: Buffer, offset: number, value: number): Buffer {
  const changed = Buffer.from(bytes);
  changed.writeUInt16BE(value, offset);
  return changed;
}

function labels(...parts: (string | Buffer)[]): Buffer {
  const name = parts.flatMap((part) => [Buffer.from([part.length]), Buffer.from(part)]);
  const header = Buffer.from('10e101000001000000000000', 'hex');
  return Buffer.concat([header, ...name, Buffer.from([0, 0, 1, 0, 1])]);
}

const plain = query('example.com');
const large = dns.encode({
  type: 'response',
  id: 1,
  questions: [{ name: 'example.com', type: 'A' }],
  answers: [
    cname('example.com', 'b.test'),
    a('b.test', '203.0.113.1'),
    { type: 'TXT', name: 'b.test', data: ['one', 'two'] },
    { type: 'SOA', name: 'b.test', data: { mname: 'n.test', rname: 'r.test', serial: 1 } },
    { type: 'CAA', name: 'b.test', data: { tag: 'issue', value: 'ca.test' } },
    { type: 'NSEC', name: 'b.test', data: { nextDomain: 'c.test', rrtypes: ['A', 'TXT'] } },
    {
      type: 'NAPTR',
      name: 'b.test',
      data: {
        order: 1,
        preference: 2,
        flags: 's',
        services: 'x',
        regexp: '',
        replacement: 'z.test',
      },
    },
  ],
  additionals: [edns(1232)],
});

describe('a question', () => {
  it('is read in lower case, without a trailing dot, and repeated as it was asked', () => {
    const asked = question(query('WwW.Example.COM'));
    expect(asked).toMatchObject({ id: 4321, name: 'www.example.com', type: 'A', edns: undefined });
    const replied = read(writeReply(asked, { rcode: 0 }, 512)).packet;
    expect(replied).toMatchObject({ id: 4321, flag_qr: true, flag_rd: true, flag_ra: true });
    expect(replied.questions).toEqual([{ name: 'WwW.Example.COM', type: 'A', class: 'IN' }]);
  });

  it.each<[string, Buffer, string | undefined]>([
    ['nothing', Buffer.alloc(0), undefined],
    ['half a header', plain.subarray(0, 11), undefined],
    ['a reply', withWord(plain, 2, 0x8100), undefined],
    ['another opcode', withWord(plain, 2, 0x2800), 'NOTIMP'],
    [
      'another class',
      query('a.test', 'A', { questions: [{ name: 'a', type: 'A', class: 'CH' }] }),
      'NOTIMP',
    ],
    ['a header alone', plain.subarray(0, 12), 'FORMERR'],
    ['no question', withWord(plain, 4, 0), 'FORMERR'],
    [
      'two questions',
      query('a', 'A', {
        questions: [
          { name: 'a', type: 'A' },
          { name: 'b', type: 'A' },
        ],
      }),
      'FORMERR',
    ],
    ['more records than bytes', withWord(plain, 10, 2), 'FORMERR'],
    ['an answer', query('a', 'A', { answers: [a('a', '10.0.0.1')] }), 'FORMERR'],
    ['two OPT records', query('a', 'A', { additionals: [edns(600), edns(700)] }), 'FORMERR'],
    ['a name without its end', plain.subarray(0, -5), 'FORMERR'],
    [
      'a name that is longer than names are',
      labels(...Array<string>(5).fill('x'.repeat(63))),
      'FORMERR',
    ],
    ['a dot within a label', labels('evil.test', 'example', 'com'), 'FORMERR'],
    ['a name that ends in a dot within a label', labels('example.com.'), 'FORMERR'],
    ['an escape sequence in its name', labels('a\x1b[31m', 'test'), 'FORMERR'],
    ['bytes that are no text', labels(Buffer.from([0xff, 0xfe]), 'test'), 'FORMERR'],
    [
      'a name that points to itself',
      Buffer.concat([plain.subarray(0, 12), Buffer.from('c00c00010001', 'hex')]),
      'FORMERR',
    ],
    [
      'a name that points into the header',
      Buffer.concat([plain.subarray(0, 12), Buffer.from('c00400010001', 'hex')]),
      'FORMERR',
    ],
    ['far too many bytes', Buffer.concat([plain, Buffer.alloc(8192)]), 'FORMERR'],
  ])('is not %s', (_, bytes, answer) => {
    expect(rejection(bytes)).toBe(answer);
  });

  it('in a version of EDNS that does not exist is answered with the one that does', () => {
    const found = readQuestion(
      query('a', 'A', { additionals: [{ ...edns(600), ednsVersion: 1 } as dns.Answer] }),
    );
    expect(found).toHaveProperty('reply');
    const { packet } = read((found as { reply: Buffer }).reply);
    expect(packet.additionals).toMatchObject([{ type: 'OPT', extendedRcode: 1, ednsVersion: 0 }]);
  });
});

describe('a reply', () => {
  it('writes a name once, and reads back as it was', () => {
    const found = readReply(large)!;
    const written = writeReply(question(plain), found, 512);
    expect(written.length).toBeLessThan(large.length);
    expect(dns.decode(written).answers).toEqual(dns.decode(large).answers);
  });

  it('leaves out a record that could not be read again', () => {
    const odd = { type: 'CNAME' as const, name: 'a.test', ttl: 1, class: 'IN' as const };
    const long = '\ufffd'.repeat(40);
    const answers = [
      { ...odd, data: 'a..b' },
      { ...odd, data: 'b.test.' },
      { ...odd, data: `${long}.test` },
      { ...odd, name: '\x1b.test', data: 'b.test' },
      { ...odd, data: 'b.test' },
    ];
    const written = writeReply(question(plain), { rcode: 0, answers }, 512);
    expect(read(written).records).toEqual(['CNAME b.test']);
  });

  it('points only to where a pointer can point', () => {
    const answers = Array.from({ length: 1000 }, (_, index) => ({
      ...a(`${'n'.repeat(50)}${Math.floor(index / 2)}.test`, '203.0.113.1'),
      ttl: 1,
    })) as { type: 'A'; name: string; ttl: number; data: string }[];
    const written = writeReply(question(plain), { rcode: 0, answers }, maxMessageBytes);
    expect(written.length).toBeGreaterThan(0x4000);
    expect(dns.decode(written).answers!.map(({ name }) => name)).toEqual(
      answers.map(({ name }) => name),
    );
  });

  it('of any bytes is read, or it is not, in bounded work', () => {
    const mutated = fc
      .tuple(
        fc.constant(large),
        fc.array(fc.tuple(fc.nat(large.length - 1), fc.nat(255)), { maxLength: 8 }),
        fc.nat(large.length),
      )
      .map(([bytes, changes, end]) => {
        const copy = Buffer.from(bytes);
        for (const [at, value] of changes) copy[at] = value;
        return copy.subarray(0, Math.max(end, 12));
      });
    const asked = question(plain);
    fc.assert(
      fc.property(mutated, (bytes) => {
        const found = readReply(bytes);
        if (found === undefined) return;
        const written = writeReply(asked, found, 512);
        expect(written.length).toBeLessThanOrEqual(512);
        const again = dns.decode(written);
        expect(again.questions![0]!.name).toBe('example.com');
        expect(dns.decode.bytes).toBe(written.length);
      }),
      { numRuns: 3000 },
    );
  });

  it('that promises more than it has, or more than anybody needs, is not read', () => {
    expect(readReply(withWord(large, 6, 0xffff))).toBeUndefined();
    const many = (count: number): Buffer =>
      dns.encode({
        type: 'response',
        answers: Array<dns.Answer>(count).fill(a('.', '203.0.113.1')),
      });
    expect(readReply(many(1000))?.answers).toHaveLength(1000);
    expect(readReply(many(1001))).toBeUndefined();
  });
});

describe('the resolver', () => {
  let server: NameServer;
  let resolver: Resolver;
  const askers = [
    card({}),
    card({ internet: 'full' }),
    card({ internet: 'list', allow: ['.com'] }),
  ];
  beforeAll(async () => {
    server = await startNameServer((asked) => {
      const mangled = Buffer.from(large);
      asked.bytes.copy(mangled, 0, 0, 2);
      return mangled;
    });
    resolver = createResolver(
      { peer: () => undefined, admit: () => Promise.resolve() },
      { upstreams: [server.address] },
    );
  });
  afterAll(async () => {
    resolver.close();
    await server.close();
  });

  it('survives whatever it is asked, and answers nothing but questions', async () => {
    const seeds = [
      plain,
      query('example.com', 'TXT', { additionals: [edns(1400)] }),
      query('x.coppice', 'A', { additionals: [{ type: 'TXT', name: 'a', data: 'b' }] }),
      query('1.0.0.127.in-addr.arpa', 'PTR'),
    ];
    const changed = fc
      .tuple(
        fc.constantFrom(...seeds),
        fc.array(fc.tuple(fc.nat(80), fc.nat(255)), { maxLength: 6 }),
        fc.uint8Array({ maxLength: 20 }),
        fc.nat(100),
      )
      .map(([seed, changes, tail, end]) => {
        const bytes = Buffer.concat([seed, tail]).subarray(0, Math.max(end, 4));
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        return bytes;
      });
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(fc.uint8Array({ maxLength: 600 }), changed),
        fc.constantFrom('udp' as const, 'tcp' as const),
        async (bytes, transport) => {
          const asker = askers[0]!;
          const answer = await resolver.answer(asker, bytes, transport);
          if (answer === undefined) {
            expect(bytes.length < 12 || (bytes[2]! & 0x80) !== 0).toBe(true);
            return;
          }
          expect([answer[0], answer[1]]).toEqual([bytes[0], bytes[1]]);
          expect(answer[2]! & 0x80).toBe(0x80);
          expect(() => dns.decode(Buffer.from(answer))).not.toThrow();
        },
      ),
      { numRuns: 3000 },
    );
    expect(resolver.denials(askers[0]!.workspaceId).length).toBeGreaterThan(0);
    expect(server.asked).toEqual([]);
  });

  it('survives whatever a name server replies', async () => {
    const changes = fc.array(fc.tuple(fc.integer({ min: 2, max: large.length - 1 }), fc.nat(255)), {
      maxLength: 5,
    });
    await fc.assert(
      fc.asyncProperty(changes, fc.constantFrom(1, 2), async (edits, index) => {
        server.answer = (asked) => {
          const bytes = Buffer.from(large);
          for (const [at, value] of edits) bytes[at] = value;
          asked.bytes.copy(bytes, 0, 0, 2);
          // The question has to be right, or it would only be passed over.
          asked.bytes.copy(bytes, 12, 12, 12 + 17);
          bytes.writeUInt16BE(0x8180, 2);
          bytes.writeUInt16BE(1, 4);
          return bytes;
        };
        const answer = await resolver.answer(askers[index]!, plain, 'udp');
        expect(() => dns.decode(Buffer.from(answer!))).not.toThrow();
      }),
      { numRuns: 400 },
    );
  });
});
