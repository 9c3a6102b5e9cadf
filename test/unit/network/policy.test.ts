import net from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  arePeers,
  closedPolicy,
  domainMatches,
  inRange,
  isPrivate,
  parsePolicy,
  privateRanges,
  type NetworkPolicy,
} from '../../../helper-daemon/network/policy.ts';
import { formatIpv4, parseNetworkTarget } from '../../../protocol/networkTarget.ts';

const ipv4 = fc.nat(0xffff_ffff).map(formatIpv4);
const policy = (more: Partial<NetworkPolicy>): NetworkPolicy => ({ ...closedPolicy, ...more });

describe('what a policy names', () => {
  const allow = ['10.0.0.0/8:22', 'example.com:443', '*.test', '*:80', 'not a target'];

  it('is nothing where the internet is off', () => {
    expect(parsePolicy(policy({ allow }))).toEqual({ cidrs: [], domains: [], publicPorts: [] });
  });

  it('is its list, without what is no target', () => {
    const parsed = parsePolicy(policy({ internet: 'list', allow }));
    expect(parsed.cidrs).toEqual([
      { kind: 'cidr', address: '10.0.0.0', prefixLength: 8, ports: [22, 22] },
    ]);
    expect(parsed.domains.map(({ name, ports }) => [name, ports])).toEqual([
      ['example.com', [443, 443]],
      ['test', undefined],
    ]);
    expect(parsed.publicPorts).toEqual([[80, 80]]);
    expect(parsePolicy(policy({ internet: 'list' })).publicPorts).toEqual([]);
  });

  it('is every port of the internet, and its list, where it is full', () => {
    const parsed = parsePolicy(policy({ internet: 'full', allow }));
    expect(parsed.publicPorts).toEqual([undefined, [80, 80]]);
    expect(parsed.cidrs).toHaveLength(1);
  });
});

describe('a private address', () => {
  it.each([
    ['0.0.0.0', '0.255.255.255', '1.0.0.0'],
    ['10.0.0.0', '10.255.255.255', '11.0.0.0'],
    ['100.64.0.0', '100.127.255.255', '100.128.0.0'],
    ['127.0.0.0', '127.255.255.255', '128.0.0.0'],
    ['169.254.0.0', '169.254.255.255', '169.255.0.0'],
    ['172.16.0.0', '172.31.255.255', '172.32.0.0'],
    ['192.0.0.0', '192.0.0.255', '192.0.1.0'],
    ['192.168.0.0', '192.168.255.255', '192.169.0.0'],
    ['198.18.0.0', '198.19.255.255', '198.20.0.0'],
    ['224.0.0.0', '255.255.255.255', '223.255.255.255'],
  ])('is every one from %s to %s, and not %s', (first, last, outside) => {
    expect([first, last, outside].map(isPrivate)).toEqual([true, true, false]);
  });

  it('is what lies in one of the ranges', () => {
    const list = new net.BlockList();
    for (const range of privateRanges) {
      const [address = '', bits] = range.split('/');
      list.addSubnet(address, Number(bits), 'ipv4');
    }
    fc.assert(
      fc.property(ipv4, (address) => {
        expect(isPrivate(address)).toBe(list.check(address, 'ipv4'));
      }),
    );
  });

  it.each([[''], ['::1'], ['1.2.3'], ['8.8.8.8 '], ['008.8.8.8']])(
    'is also what is none: %j',
    (text) => {
      expect(isPrivate(text)).toBe(true);
    },
  );
});

describe('a range', () => {
  it('holds what a block list with it holds', () => {
    fc.assert(
      fc.property(ipv4, ipv4, fc.integer({ min: 1, max: 32 }), (address, base, prefixLength) => {
        const target = parseNetworkTarget(`${base}/${prefixLength}`);
        if (target?.kind !== 'cidr') throw new Error('no CIDR');
        const list = new net.BlockList();
        list.addSubnet(base, prefixLength, 'ipv4');
        expect(inRange(address, target)).toBe(list.check(address, 'ipv4'));
        expect(inRange(base, target)).toBe(true);
      }),
    );
    expect(inRange('255.255.255.255', { address: '0.0.0.0', prefixLength: 0 })).toBe(true);
    expect(inRange('nonsense', { address: '0.0.0.0', prefixLength: 0 })).toBe(false);
  });
});

describe('a domain', () => {
  it.each([
    ['example.com', 'example.com', true],
    ['example.com', 'a.example.com', false],
    ['*.example.com', 'example.com', false],
    ['*.example.com', 'a.b.example.com', true],
    ['*.example.com', 'badexample.com', false],
    ['.example.com', 'example.com', true],
    ['.example.com', 'a.example.com', true],
    ['.example.com', 'example.com.test', false],
    ['.com', 'example.com', true],
  ])('of the form %s: %s is meant: %s', (text, name, meant) => {
    const target = parseNetworkTarget(text);
    if (target?.kind !== 'domain') throw new Error('no domain');
    expect(domainMatches(target, name)).toBe(meant);
  });
});

describe('two machines', () => {
  const open = policy({ allowInterVm: true });
  const blue = policy({ team: 'blue' });
  it.each([
    ['closed ones', closedPolicy, closedPolicy, false],
    ['one that is open and one that is not', open, closedPolicy, false],
    ['open ones', open, open, true],
    ['members of a team', blue, blue, true],
    ['members of different teams', blue, policy({ team: 'red' }), false],
    ['a member and one without a team', blue, open, false],
    [
      'open members of different teams',
      { ...blue, allowInterVm: true },
      { ...open, team: 'red' },
      true,
    ],
  ])('reach each other or not: %s', (_, a, b, reach) => {
    expect([arePeers(a, b), arePeers(b, a)]).toEqual([reach, reach]);
  });
});
