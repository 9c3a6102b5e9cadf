import { describe, expect, it } from 'vitest';
import { createBed, plan } from './bed.ts';
import { arp, ethernet, flag, icmp, ip, tcp, udp } from './wire.ts';

const broadcast = 'ff:ff:ff:ff:ff:ff';
const nowhere = { toGuest: [], outside: [] };

function pair(...policies: Parameters<ReturnType<typeof createBed>['add']>[1][]) {
  const bed = createBed();
  const a = bed.add('a', policies[0]);
  const b = bed.add('b', policies[1]);
  return { bed, a, b, addressOfA: a.machine.card.address, addressOfB: b.machine.card.address };
}

describe('the gateway', () => {
  it('answers who it is, and for nobody else', () => {
    const { a, b, addressOfA, addressOfB } = pair();
    const { mac } = a.machine.card;
    a.write(ethernet(broadcast, mac, 0x0806, arp(1, mac, addressOfA, plan.gateway)));
    expect(a.take().toGuest).toMatchObject([
      {
        kind: 'arp',
        from: plan.gateway,
        to: addressOfA,
        toMac: mac,
        fromMac: plan.gatewayMac,
        code: 2,
      },
    ]);
    a.write(ethernet(broadcast, mac, 0x0806, arp(1, mac, addressOfA, addressOfB)));
    a.write(ethernet(broadcast, mac, 0x0806, arp(1, mac, addressOfA, '203.0.113.1')));
    expect([a.take(), b.take()]).toEqual([nowhere, nowhere]);
  });

  it('hears nobody who claims another address or card', () => {
    const { a, b, addressOfA, addressOfB } = pair();
    const { mac } = a.machine.card;
    a.write(ethernet(broadcast, mac, 0x0806, arp(1, mac, addressOfB, plan.gateway)));
    a.write(ethernet(broadcast, mac, 0x0806, arp(2, mac, plan.gateway, addressOfB)));
    a.write(
      ethernet(broadcast, mac, 0x0806, arp(1, '02:00:00:00:00:99', addressOfA, plan.gateway)),
    );
    a.write(
      ethernet(broadcast, '02:00:00:00:00:99', 0x0806, arp(1, mac, addressOfA, plan.gateway)),
    );
    expect([a.take(), b.take()]).toEqual([nowhere, nowhere]);
    expect(a.machine.counters.deniedPackets).toBe(4);
  });

  it('answers a ping', () => {
    const { a, addressOfA } = pair();
    a.ping(plan.gateway);
    expect(a.take().toGuest).toMatchObject([
      { kind: 'icmp', type: 0, from: plan.gateway, to: addressOfA, data: Buffer.from('abcdefgh') },
    ]);
  });

  it('hands questions to the resolver and wraps its answers', async () => {
    const { bed, a, addressOfA } = pair();
    const asked: string[] = [];
    bed.answer = async (question) => {
      asked.push(Buffer.from(question).toString());
      return Buffer.from('answer');
    };
    a.udp(plan.gateway, 53, { data: Buffer.from('question') });
    await Promise.resolve();
    await Promise.resolve();
    expect(asked).toEqual(['question']);
    expect(a.take().toGuest).toMatchObject([
      {
        kind: 'udp',
        from: plan.gateway,
        to: addressOfA,
        ports: [53, 40_000],
        data: Buffer.from('answer'),
      },
    ]);
  });

  it('asks for a machine only so many names at once', async () => {
    const { bed, a } = pair();
    let open = 0;
    bed.answer = () => {
      open += 1;
      return new Promise(() => undefined);
    };
    for (let count = 0; count < 500; count += 1) a.udp(plan.gateway, 53);
    expect(open).toBe(64);
  });

  it('resets TCP, drops the rest, and notes both', () => {
    const { a } = pair({ internet: 'full', allowInterVm: true });
    a.tcp(plan.gateway, 22);
    a.tcp(plan.gateway, 53);
    a.udp(plan.gateway, 123);
    const { toGuest, outside } = a.take();
    expect(toGuest.map(({ kind, flags }) => [kind, flags & flag.rst])).toEqual([
      ['tcp', flag.rst],
      ['tcp', flag.rst],
    ]);
    expect(outside).toEqual([]);
    expect(a.machine.denials.list().map(({ port, protocol }) => [port, protocol])).toEqual([
      [123, 'udp'],
      [53, 'tcp'],
      [22, 'tcp'],
    ]);
  });
});

describe('what is no packet of the machine', () => {
  it('is dropped: another source, another card, another way, another protocol', () => {
    const { a, b, addressOfB } = pair({ internet: 'full', team: 't' }, { team: 't' });
    const { mac, address } = a.machine.card;
    const good = tcp({ from: address, to: addressOfB });
    a.send(tcp({ from: addressOfB, to: '203.0.113.9' }));
    a.send(tcp({ from: '127.0.0.1', to: addressOfB }));
    a.send(udp({ from: '0.0.0.0', to: '255.255.255.255', ports: [68, 67] }));
    a.write(ethernet(plan.gatewayMac, b.machine.card.mac, 0x0800, good));
    a.write(ethernet(b.machine.card.mac, mac, 0x0800, good));
    a.write(ethernet(broadcast, mac, 0x0800, good));
    a.write(ethernet(plan.gatewayMac, mac, 0x86dd, Buffer.alloc(60, 0x60)));
    a.write(
      ethernet(plan.gatewayMac, mac, 0x8100, Buffer.concat([Buffer.from([0, 5, 8, 0]), good])),
    );
    a.write(Buffer.alloc(13));
    a.send(
      tcp({ from: address, to: addressOfB, options: Buffer.from([131, 7, 4, 127, 0, 0, 1, 0]) }),
    );
    expect([a.take(), b.take()]).toEqual([nowhere, nowhere]);
    expect(a.machine.counters).toMatchObject({ deniedPackets: 10, sentPackets: 0 });
  });
});

describe('other machines', () => {
  it('cannot be reached by default, and whether they exist does not show', () => {
    const { a, b, addressOfB } = pair({ internet: 'full' }, { internet: 'full' });
    for (const to of [addressOfB, '10.42.7.7']) {
      a.tcp(to, 22);
      a.udp(to, 5000);
      a.ping(to);
      const { toGuest, outside } = a.take();
      expect(outside).toEqual([]);
      expect(toGuest.map(({ kind, from, type, code }) => [kind, from, type, code])).toEqual([
        ['tcp', to, 0, 0],
        ['icmp', plan.gateway, 3, 13],
        ['icmp', plan.gateway, 3, 13],
      ]);
    }
    expect(b.take()).toEqual(nowhere);
  });

  it('of one team exchange TCP, UDP and pings, one hop apart', () => {
    const { a, b, addressOfA, addressOfB } = pair({ team: 't' }, { team: 't' });
    a.tcp(addressOfB, 22);
    a.udp(addressOfB, 5000);
    a.ping(addressOfB);
    b.tcp(addressOfA, 8080);
    expect(b.take().toGuest).toMatchObject([
      {
        kind: 'tcp',
        from: addressOfA,
        fromMac: plan.gatewayMac,
        toMac: b.machine.card.mac,
        ttl: 63,
      },
      { kind: 'udp', ports: [40_000, 5000], ttl: 63 },
      { kind: 'icmp', type: 8, ttl: 63 },
    ]);
    expect(a.take().toGuest).toMatchObject([
      { kind: 'tcp', from: addressOfB, ports: [40_000, 8080] },
    ]);
    a.send(ip(47, { from: addressOfA, to: addressOfB }, Buffer.alloc(20)));
    a.tcp(addressOfB, 22, { ttl: 1 });
    expect(b.take()).toEqual(nowhere);
  });

  it('of different teams, or where only one allows it, do not', () => {
    const { a, b, addressOfA, addressOfB } = pair({ team: 't', allowInterVm: true }, { team: 'u' });
    a.tcp(addressOfB, 22);
    b.tcp(addressOfA, 22);
    expect([a.take().toGuest[0]?.flags, b.take().toGuest[0]?.flags]).toEqual([20, 20]);
    b.policy({ team: 'u', allowInterVm: true });
    a.tcp(addressOfB, 22);
    expect(b.take().toGuest).toHaveLength(1);
    b.policy({ team: 'u' });
    a.tcp(addressOfB, 22, { flags: flag.ack });
    expect(b.take()).toEqual(nowhere);
  });

  it('reach allowed ports, get answers, and are not reached from there', () => {
    const { a, b, addressOfA, addressOfB } = pair({}, { allowedPorts: [80] });
    a.tcp(addressOfB, 80);
    a.tcp(addressOfB, 81);
    a.udp(addressOfB, 80);
    a.ping(addressOfB);
    expect(b.take().toGuest).toMatchObject([{ kind: 'tcp', ports: [40_000, 80] }]);
    a.take();
    const back = { from: addressOfB, to: addressOfA, ports: [80, 40_000] as const };
    b.send(tcp({ ...back, flags: flag.syn | flag.ack }));
    b.send(tcp({ ...back, flags: flag.ack }));
    expect(a.take().toGuest.map(({ flags }) => flags)).toEqual([18, 16]);
    b.send(tcp({ ...back, flags: flag.syn }));
    b.send(udp(back));
    b.send(tcp({ ...back, ports: [81, 40_000], flags: flag.ack }));
    expect(a.take()).toEqual(nowhere);
    b.take();
    b.policy({});
    a.tcp(addressOfB, 80, { flags: flag.ack });
    b.send(tcp({ ...back, flags: flag.ack }));
    expect(
      [a.take().toGuest, b.take().toGuest].flat().map(({ flags }) => flags & flag.rst),
    ).toEqual([flag.rst, flag.rst]);
  });

  it('exchange fragments as peers, and none at allowed ports', () => {
    const { a, b, addressOfA, addressOfB } = pair({ team: 't' }, { team: 't', allowedPorts: [80] });
    const ends = { from: addressOfA, to: addressOfB };
    a.send(udp({ ...ends, data: Buffer.alloc(64), fragment: 0x2000 }));
    a.send(ip(17, { ...ends, fragment: 9 }, Buffer.alloc(40)));
    expect(b.take().toGuest).toHaveLength(2);
    a.policy({});
    a.send(tcp({ ...ends, ports: [4000, 80], data: Buffer.alloc(4), fragment: 0x2000 }));
    a.send(ip(6, { ...ends, fragment: 3 }, Buffer.alloc(40)));
    expect(b.take()).toEqual(nowhere);
  });

  it('are limited to their bandwidth in both directions', () => {
    const { bed, a, b, addressOfB } = pair({ team: 't', bandwidthMbit: 1 }, { team: 't' });
    const data = Buffer.alloc(1400);
    const burst = (): number => {
      for (let count = 0; count < 200; count += 1) a.udp(addressOfB, 5000, { data });
      return b.take().toGuest.length;
    };
    // 64 KiB at once, then 125 kB in a second.
    expect(burst()).toBe(Math.floor(65_536 / 1442));
    expect(burst()).toBe(0);
    bed.now += 200;
    expect(burst()).toBe(17);
    a.policy({ team: 't' });
    expect(burst()).toBe(200);
    b.policy({ team: 't', bandwidthMbit: 1 });
    expect(burst()).toBe(Math.floor(65_536 / 1442));
  });

  it('are counted with what passes and what does not', () => {
    const { a, b, addressOfB } = pair({ team: 't' }, { team: 't' });
    a.udp(addressOfB, 5000, { data: Buffer.alloc(58) });
    a.tcp('203.0.113.9', 80);
    expect(a.machine.counters).toMatchObject({
      sentPackets: 1,
      sentBytes: 100,
      receivedPackets: 1,
      deniedPackets: 1,
    });
    expect(b.machine.counters).toMatchObject({ receivedPackets: 1, receivedBytes: 100 });
  });

  it('get no answer to what they send to itself', () => {
    const { a, addressOfA } = pair({ team: 't' });
    a.send(icmp({ from: addressOfA, to: addressOfA }, 0));
    expect(a.take()).toEqual(nowhere);
  });
});
