import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addressPlan, defaultSubnet, macOf } from '../../../helper-daemon/network/addressPlan.ts';
import { isPrivate } from '../../../helper-daemon/network/policy.ts';
import { formatIpv4, parseIpv4 } from '../../../protocol/networkTarget.ts';

describe('the subnet of machines', () => {
  it.each([
    [defaultSubnet, 16, '10.42.0.1'],
    ['10.0.0.0/8', 8, '10.0.0.1'],
    ['192.168.7.248/29', 29, '192.168.7.249'],
    ['172.16.0.0/12', 12, '172.16.0.1'],
    ['100.64.0.0/10', 10, '100.64.0.1'],
    ['198.18.0.0/15', 15, '198.18.0.1'],
  ])('may be %s', (subnet, prefixLength, gateway) => {
    expect(addressPlan(subnet)).toMatchObject({ subnet, prefixLength, gateway });
  });

  it.each([
    [''],
    ['10.42.0.0'],
    ['10.42.0.0/'],
    ['10.42.0.0/16/24'],
    ['10.42.0.0/016'],
    ['10.0.0.0/08'],
    ['10.42.0.0/30'],
    ['10.0.0.0/7'],
    ['10.42.0.1/16'],
    ['10.42.0/16'],
    ['010.42.0.0/16'],
    [' 10.42.0.0/16'],
    ['example.com/16'],
    ['0.0.0.0/8'],
    ['127.0.0.0/8'],
    ['169.254.0.0/16'],
    ['224.0.0.0/8'],
    ['8.8.8.0/24'],
    ['172.0.0.0/8'],
    ['192.0.0.0/8'],
  ])('may not be %j', (subnet) => {
    expect(() => addressPlan(subnet)).toThrow(expect.objectContaining({ code: 'invalid_input' }));
  });

  it('is private as a whole, and knows what lies in it', () => {
    const subnets = fc
      .tuple(fc.nat(0xffff_ffff), fc.integer({ min: 8, max: 29 }))
      .map(([value, bits]) => `${formatIpv4(value - (value % 2 ** (32 - bits)))}/${bits}`);
    const near = fc
      .integer({ min: 0x0a00_0000, max: 0x0aff_ffff })
      .chain((value) =>
        fc
          .integer({ min: 8, max: 29 })
          .map((bits) => `${formatIpv4(value - (value % 2 ** (32 - bits)))}/${bits}`),
      );
    fc.assert(
      fc.property(fc.oneof(subnets, near), (subnet) => {
        let plan;
        try {
          plan = addressPlan(subnet);
        } catch {
          return;
        }
        const first = parseIpv4(subnet.split('/')[0]!)!;
        const last = first + 2 ** (32 - plan.prefixLength) - 1;
        expect([first, last].map(formatIpv4).map(isPrivate)).toEqual([true, true]);
        expect([first - 1, first, last, last + 1].map(formatIpv4).map(plan.contains)).toEqual([
          false,
          true,
          true,
          false,
        ]);
        expect(plan.contains('nonsense')).toBe(false);
        expect(plan.contains(plan.free(new Set()))).toBe(true);
      }),
    );
  });
});

describe('the next free address', () => {
  it('is never the network, the gateway, the broadcast address or one that is taken', () => {
    const plan = addressPlan('10.9.0.16/29');
    const taken = new Set<string>();
    for (let index = 0; index < 5; index += 1) taken.add(plan.free(taken));
    expect([...taken]).toEqual(['10.9.0.18', '10.9.0.19', '10.9.0.20', '10.9.0.21', '10.9.0.22']);
    expect(() => plan.free(taken)).toThrow(expect.objectContaining({ code: 'limit_exceeded' }));
    taken.delete('10.9.0.20');
    expect(plan.free(taken)).toBe('10.9.0.20');
  });
});

describe('a card', () => {
  it('has a locally administered address of its own for each IPv4 address', () => {
    expect(macOf('10.42.0.7')).toBe('02:c0:0a:2a:00:07');
    expect(addressPlan(defaultSubnet).gatewayMac).toBe('02:c0:0a:2a:00:01');
    fc.assert(
      fc.property(fc.nat(0xffff_ffff), fc.nat(0xffff_ffff), (one, other) => {
        const [a, b] = [one, other].map((value) => macOf(formatIpv4(value)));
        expect(a).toMatch(/^02:c0(:[0-9a-f]{2}){4}$/);
        expect(a === b).toBe(one === other);
      }),
    );
  });
});
