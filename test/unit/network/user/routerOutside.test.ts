import { describe, expect, it } from 'vitest';
import type { NetworkPolicy } from '../../../../helper-daemon/network/policy.ts';
import { createBed, type Bed, type Wired } from './bed.ts';
import { flag, icmp, ip, tcp, udp } from './wire.ts';

const server = '203.0.113.9';
const other = '198.51.100.7';

function bedWith(policy: Partial<NetworkPolicy>): { bed: Bed; a: Wired; own: string } {
  const bed = createBed();
  const a = bed.add('a', policy);
  return { bed, a, own: a.machine.card.address };
}

/** Which of the probes leave. */
function leaves(a: Wired, probes: readonly (readonly [string, string, number])[]): string[] {
  return probes.flatMap(([kind, to, port]) => {
    if (kind === 'ping') a.ping(to);
    else if (kind === 'tcp') a.tcp(to, port);
    else a.udp(to, port);
    return a.take().outside.length === 1 ? [`${kind} ${to}:${port}`] : [];
  });
}

const probes = [
  ['tcp', server, 443],
  ['tcp', server, 80],
  ['udp', server, 443],
  ['ping', server, 0],
  ['tcp', other, 443],
] as const;
const names = probes.map(([kind, to, port]) => `${kind} ${to}:${port}`);

describe('the way out', () => {
  it('is closed by default, and programs learn it at once', () => {
    const { a, own } = bedWith({});
    a.tcp(server, 443);
    a.udp(server, 443);
    a.ping(server);
    const { toGuest, outside } = a.take();
    expect(outside).toEqual([]);
    expect(toGuest).toMatchObject([
      {
        kind: 'tcp',
        from: server,
        to: own,
        ports: [443, 40_000],
        flags: 20,
        acknowledgement: 1001,
      },
      { kind: 'icmp', type: 3, code: 13 },
      { kind: 'icmp', type: 3, code: 13 },
    ]);
    expect(a.machine.denials.list()).toMatchObject([
      { destination: server, port: undefined, protocol: 'icmp', count: 1 },
      { destination: server, port: 443, protocol: 'udp' },
      { destination: server, port: 443, protocol: 'tcp', reason: 'the policy allows no internet' },
    ]);
  });

  it('follows the policy, from one packet to the next', () => {
    const { a } = bedWith({});
    expect(leaves(a, probes)).toEqual([]);
    a.policy({ internet: 'full' });
    expect(leaves(a, probes)).toEqual(names);
    a.policy({ internet: 'list', allow: [`${server}:443`] });
    expect(leaves(a, probes)).toEqual([names[0], names[2]]);
    a.policy({ internet: 'list', allow: ['203.0.113.0/24'] });
    expect(leaves(a, probes)).toEqual(names.slice(0, 4));
    a.policy({ internet: 'list', allow: ['*:440-450'] });
    expect(leaves(a, probes)).toEqual([names[0], names[2], names[4]]);
    a.policy({ internet: 'off', allow: ['*'] });
    expect(leaves(a, probes)).toEqual([]);
  });

  it('does not lead to private addresses, unless a CIDR names them', () => {
    const privates = [
      ['tcp', '10.0.0.1', 80],
      ['tcp', '192.168.1.1', 80],
      ['tcp', '172.16.0.1', 80],
      ['tcp', '169.254.169.254', 80],
      ['udp', '224.0.0.251', 5353],
      ['udp', '255.255.255.255', 67],
    ] as const;
    const { a } = bedWith({ internet: 'full', allow: ['*'] });
    expect(leaves(a, privates)).toEqual([]);
    a.policy({ internet: 'list', allow: ['192.168.0.0/16', '169.254.169.254:80'] });
    expect(leaves(a, privates)).toEqual(['tcp 192.168.1.1:80', 'tcp 169.254.169.254:80']);
  });

  it('does not lead to this host, unless a CIDR names exactly that address', () => {
    const { bed, a } = bedWith({ internet: 'full', allow: ['0.0.0.0/0', '192.0.2.0/24'] });
    const probe = [
      ['tcp', '192.0.2.5', 22],
      ['tcp', '127.0.0.1', 22],
      ['tcp', '127.9.9.9', 22],
      ['tcp', '0.0.0.0', 22],
    ] as const;
    bed.hostAddresses = [[0xc000_0205, 0xc000_0205]];
    expect(leaves(a, probe)).toEqual([]);
    expect(a.machine.denials.list()[0]?.reason).toBe('an address of the host');
    a.policy({ internet: 'list', allow: ['192.0.2.5/32:22'] });
    expect(leaves(a, probe)).toEqual(['tcp 192.0.2.5:22']);
  });

  it('closes to an address that the host is given later', () => {
    const { bed, a } = bedWith({ internet: 'full' });
    expect(leaves(a, [['tcp', server, 443]])).toHaveLength(1);
    bed.hostAddresses = [[0xcb00_7109, 0xcb00_7109]];
    bed.now += 3001;
    expect(leaves(a, [['tcp', server, 443]])).toEqual([]);
    bed.hostAddresses = [];
    bed.now += 3001;
    expect(leaves(a, [['tcp', server, 443]])).toHaveLength(1);
  });

  it('never leads to name servers', () => {
    const { a } = bedWith({ internet: 'full', allow: ['0.0.0.0/0', `${server}:53`, '*'] });
    const dns = [53, 853].flatMap((port) => [
      ['udp', server, port] as const,
      ['tcp', server, port] as const,
      ['udp', '192.168.1.1', port] as const,
    ]);
    expect(leaves(a, dns)).toEqual([]);
  });

  it('is for TCP, UDP and pings alone', () => {
    const { a, own } = bedWith({ internet: 'full' });
    a.send(ip(47, { from: own, to: server }, Buffer.alloc(20)));
    a.send(ip(41, { from: own, to: server }, Buffer.alloc(40)));
    for (const type of [0, 3, 5, 9, 13]) a.send(icmp({ from: own, to: server }, type));
    expect(a.take()).toEqual({ toGuest: [], outside: [] });
  });

  it('takes no fragments, however small, first or later', () => {
    const { a, own } = bedWith({ internet: 'full' });
    const ends = { from: own, to: server };
    a.send(tcp({ ...ends, ports: [1000, 443], data: Buffer.alloc(4), fragment: 0x2000 }));
    a.send(ip(6, { ...ends, fragment: 0x2000 }, Buffer.alloc(8)));
    a.send(ip(6, { ...ends, fragment: 1 }, Buffer.alloc(24)));
    a.send(udp({ ...ends, ports: [1000, 53], fragment: 0x2002 }));
    expect(a.take().outside).toEqual([]);
  });

  it('lets answers in, of what may be asked and of nothing else', () => {
    const { a, own } = bedWith({ internet: 'list', allow: [`${server}:443`] });
    const back = { from: server, to: own, flags: flag.ack };
    a.arrive(tcp({ ...back, ports: [443, 40_000] }));
    a.arrive(udp({ ...back, ports: [443, 40_000] }));
    expect(a.take().toGuest).toHaveLength(2);
    a.arrive(udp({ ...back, ports: [80, 40_000] }));
    a.arrive(udp({ ...back, from: other, ports: [443, 40_000] }));
    a.arrive(udp({ ...back, to: '10.42.0.77', ports: [443, 40_000] }));
    a.arrive(icmp({ from: server, to: own }, 0));
    a.arrive(icmp({ from: server, to: own }, 8));
    expect(a.take()).toEqual({ toGuest: [], outside: [] });
    const about = udp({ from: own, to: server, ports: [40_000, 443] });
    a.arrive(icmp({ from: other, to: own, data: about }, 3, 3));
    expect(a.take().toGuest).toHaveLength(1);
  });

  it('ends open connections on both sides when the policy takes them back', () => {
    const { a, own } = bedWith({ internet: 'full' });
    const ends = { flags: flag.ack, sequence: 5000, acknowledgement: 9000 };
    a.tcp(server, 443, ends);
    expect(a.take().outside).toHaveLength(1);
    a.policy({ internet: 'off' });
    a.tcp(server, 443, ends);
    const fromGuest = a.take();
    expect(fromGuest.outside).toMatchObject([{ to: server, flags: 20, sequence: 5000 }]);
    expect(fromGuest.toGuest).toMatchObject([{ from: server, to: own, flags: 4, sequence: 9000 }]);
    // A program that only listens learns it from what would have arrived.
    const arriving = { from: server, to: own, ports: [443, 40_000] as const, flags: flag.ack };
    a.arrive(tcp({ ...arriving, sequence: 9000, acknowledgement: 5000, data: Buffer.alloc(10) }));
    const fromOutside = a.take();
    expect(fromOutside.outside).toMatchObject([{ to: server, flags: 4, sequence: 5000 }]);
    expect(fromOutside.toGuest).toMatchObject([{ from: server, flags: 20, sequence: 9000 }]);
  });

  it('tells programs when it cannot be opened', () => {
    const { bed, a } = bedWith({ internet: 'full' });
    bed.problem = 'passt has ended';
    a.tcp(server, 443);
    expect(a.take()).toMatchObject({ toGuest: [{ kind: 'tcp', flags: 20 }], outside: [] });
    expect(a.machine.denials.list()).toMatchObject([{ reason: 'passt has ended' }]);
  });

  it('does not answer a flood with a flood', () => {
    const { bed, a } = bedWith({});
    for (let count = 0; count < 5000; count += 1) a.udp(server, 1 + count);
    expect(a.take().toGuest).toHaveLength(500);
    expect(a.machine.denials.list()).toHaveLength(1000);
    expect(a.machine.counters.deniedPackets).toBe(5000);
    bed.now += 100;
    for (let count = 0; count < 5000; count += 1) a.tcp(server, 1 + count);
    expect(a.take().toGuest).toHaveLength(50);
  });
});

describe('names', () => {
  const list = { internet: 'list' as const, allow: ['example.com:443'] };

  it('open their addresses at their ports for their time', () => {
    const { bed, a } = bedWith(list);
    expect(leaves(a, probes)).toEqual([]);
    a.machine.reach.admit([server], [[443, 443]], 30, bed.now);
    expect(leaves(a, probes)).toEqual([names[0], names[2]]);
    bed.now += 31_000;
    expect(leaves(a, [probes[0]])).toEqual([]);
  });

  it('leave connections open that were made in time', () => {
    const { bed, a, own } = bedWith(list);
    a.machine.reach.admit([server], [[443, 443]], 30, bed.now);
    a.tcp(server, 443);
    bed.now += 60_000;
    a.tcp(server, 443, { flags: flag.ack });
    a.arrive(tcp({ from: server, to: own, ports: [443, 40_000], flags: flag.ack }));
    expect(a.take()).toMatchObject({ toGuest: [{ flags: 16 }], outside: [{}, { flags: 16 }] });
    a.tcp(server, 443);
    expect(a.take().outside).toEqual([]);
    // A connection may be silent for long; datagrams may not.
    bed.now += 3_600_000;
    a.tcp(server, 443, { flags: flag.ack });
    expect(a.take().outside).toHaveLength(1);
  });

  it('leave an exchange of datagrams open while it goes on', () => {
    const { bed, a } = bedWith(list);
    a.machine.reach.admit([server], [undefined], 30, bed.now);
    for (let minute = 0; minute < 5; minute += 1) {
      a.udp(server, 443);
      bed.now += 60_000;
    }
    expect(a.take().outside).toHaveLength(5);
    bed.now += 180_000;
    a.udp(server, 443);
    expect(a.take().outside).toEqual([]);
  });

  it('are forgotten with the policy, and their connections with them', () => {
    const { bed, a } = bedWith(list);
    a.machine.reach.admit([server], [undefined], 300, bed.now);
    a.tcp(server, 443);
    a.rename('b');
    a.tcp(server, 443);
    expect(a.take().outside).toHaveLength(2);
    a.policy({ internet: 'list', allow: ['example.com:443', 'example.org'] });
    a.tcp(server, 443, { flags: flag.ack });
    a.tcp(server, 443);
    expect(a.take().outside.filter(({ flags }) => (flags & flag.rst) === 0)).toEqual([]);
  });

  it('never open private addresses, this host or name servers', () => {
    const { bed, a } = bedWith({ internet: 'list', allow: ['example.com'] });
    bed.hostAddresses = [[0xcb00_7109, 0xcb00_7109]];
    const addresses = [server, '127.0.0.1', '10.0.0.1', '169.254.169.254', '10.42.0.1', other];
    a.machine.reach.admit(addresses, [undefined], 300, bed.now);
    expect(
      leaves(a, [...addresses.map((address) => ['tcp', address, 80] as const), ['udp', other, 53]]),
    ).toEqual([`tcp ${other}:80`]);
  });

  it('keep to a bounded number of addresses, the newest', () => {
    const { bed, a } = bedWith({ internet: 'list', allow: ['example.com'] });
    for (let index = 0; index < 6000; index += 1) {
      const address = `203.${index >> 8}.${index & 255}.1`;
      a.machine.reach.admit([address], [undefined], 300, bed.now);
    }
    expect(
      leaves(a, [
        ['tcp', '203.0.0.1', 80],
        ['tcp', '203.23.111.1', 80],
      ]),
    ).toEqual(['tcp 203.23.111.1:80']);
  });
});
