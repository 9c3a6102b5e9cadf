import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  formatIpv4,
  networkTarget,
  parseIpv4,
  parseNetworkTarget,
  type NetworkTarget,
} from '../../../protocol/networkTarget.ts';

const ipv4 = fc.nat(0xffff_ffff).map(formatIpv4);
const label = fc.stringMatching(/^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/);
const domain = fc
  .tuple(fc.array(label, { maxLength: 3 }), fc.stringMatching(/^[a-z]{2,10}$/))
  .map(([labels, last]) => [...labels, last].join('.'))
  .filter((name) => name.length <= 253);
const ports = fc.option(
  fc
    .tuple(fc.integer({ min: 1, max: 65_535 }), fc.integer({ min: 1, max: 65_535 }))
    .map(([a, b]): [number, number] => [Math.min(a, b), Math.max(a, b)]),
  { nil: undefined },
);

function written(where: string, range: readonly [number, number] | undefined): string {
  if (range === undefined) return where;
  const [first, last] = range;
  return first === last ? `${where}:${first}` : `${where}:${first}-${last}`;
}

describe('an entry of an allow-list', () => {
  it.each<[string, NetworkTarget]>([
    ['192.0.2.1', { kind: 'cidr', address: '192.0.2.1', prefixLength: 32, ports: undefined }],
    ['192.0.2.77/24:80', { kind: 'cidr', address: '192.0.2.0', prefixLength: 24, ports: [80, 80] }],
    ['9.9.9.9/0:53-54', { kind: 'cidr', address: '0.0.0.0', prefixLength: 0, ports: [53, 54] }],
    [
      'Example.COM.',
      { kind: 'domain', name: 'example.com', itself: true, below: false, ports: undefined },
    ],
    [
      '*.example.com:443',
      { kind: 'domain', name: 'example.com', itself: false, below: true, ports: [443, 443] },
    ],
    [
      '.example.com',
      { kind: 'domain', name: 'example.com', itself: true, below: true, ports: undefined },
    ],
    [
      'localhost',
      { kind: 'domain', name: 'localhost', itself: true, below: false, ports: undefined },
    ],
    ['*', { kind: 'public', ports: undefined }],
    ['*:1-65535', { kind: 'public', ports: [1, 65_535] }],
  ])('may be %s', (text, target) => {
    expect(parseNetworkTarget(text)).toEqual(target);
    expect(networkTarget.safeParse(text).success).toBe(true);
  });

  it.each([
    [''],
    [' '],
    [':80'],
    ['example.com:'],
    ['example.com:0'],
    ['example.com:65536'],
    ['example.com:90-80'],
    ['example.com:80-'],
    ['example.com:80,81'],
    ['example.com:http'],
    ['https://example.com'],
    ['example.com/path'],
    ['example.com\n'],
    ['exam ple.com'],
    ['a..b'],
    ['..example.com'],
    ['example.com..'],
    ['.'],
    ['*.'],
    ['**'],
    ['*example.com'],
    ['www.*.com'],
    ['*.*.com'],
    ['-a.com'],
    ['a-.com'],
    ['münchen.de'],
    // Its lower case is the k of ASCII.
    ['\u212a.com'],
    [`${'x'.repeat(64)}.com`],
    [Array(128).fill('x').join('.')],
    ['1.2.3'],
    ['1.2.3.256'],
    ['1.2.3.04'],
    ['*.1.2.3.4'],
    ['1.2.3.4.'],
    ['1.2.3.4/33'],
    ['1.2.3.4/'],
    ['1.2.3.4/8/8'],
    ['1.2.3.4/-1'],
    ['::1'],
    ['[::1]:80'],
  ])('may not be %j', (text) => {
    expect(parseNetworkTarget(text)).toBeUndefined();
    expect(networkTarget.safeParse(text).success).toBe(false);
  });

  it('means every address that begins with the bits of its CIDR', () => {
    fc.assert(
      fc.property(ipv4, fc.nat(32), ports, (address, prefixLength, range) => {
        const target = parseNetworkTarget(written(`${address}/${prefixLength}`, range));
        const bits = (text: string): string =>
          parseIpv4(text)!.toString(2).padStart(32, '0').slice(0, prefixLength);
        expect(target).toMatchObject({ kind: 'cidr', prefixLength, ports: range });
        const base = (target as { address: string }).address;
        expect(bits(base)).toBe(bits(address));
        expect(parseIpv4(base)! % 2 ** (32 - prefixLength)).toBe(0);
      }),
    );
  });

  it('means a domain in every way that can be written', () => {
    fc.assert(
      fc.property(
        domain,
        fc.constantFrom('', '.', '*.'),
        fc.constantFrom('', '.'),
        fc.boolean(),
        ports,
        (name, before, after, upper, range) => {
          const where = `${before}${upper ? name.toUpperCase() : name}${after}`;
          expect(parseNetworkTarget(written(where, range))).toEqual({
            kind: 'domain',
            name,
            itself: before !== '*.',
            below: before !== '',
            ports: range,
          });
        },
      ),
    );
  });

  it('is one of these or none, whatever the text', () => {
    const near = fc.string({
      unit: fc.constantFrom(...Array.from('aZ019.*:/-_ \n')),
      maxLength: 20,
    });
    fc.assert(
      fc.property(fc.oneof(near, fc.string({ unit: 'binary' })), (text) => {
        const target = parseNetworkTarget(text);
        if (target?.kind === 'domain') {
          expect(target.name).toMatch(/^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/);
          expect(text.toLowerCase()).toContain(target.name);
        }
        if (target?.kind === 'cidr') expect(parseIpv4(target.address)).toBeDefined();
        if (target?.ports !== undefined) {
          expect(target.ports[0]).toBeLessThanOrEqual(target.ports[1]);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('an IPv4 address', () => {
  it('is read as it is written', () => {
    fc.assert(
      fc.property(fc.nat(0xffff_ffff), (value) => {
        expect(parseIpv4(formatIpv4(value))).toBe(value);
      }),
    );
    expect(formatIpv4(0xff00_0001)).toBe('255.0.0.1');
  });

  it.each([
    [''],
    ['1.2.3'],
    ['1.2.3.4.5'],
    ['1.2.3.256'],
    ['01.2.3.4'],
    ['0x1.2.3.4'],
    [' 1.2.3.4'],
  ])('is not %j', (text) => {
    expect(parseIpv4(text)).toBeUndefined();
  });
});
