/** What a machine may reach outside: each policy before and after each change, also with open connections. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { describeOnBed, doors, places } from '../support/networkBed.ts';
import { closed, dns, icmp, open, says, tcp, udp } from './probes.ts';
import { gateway, gatewayMac, openFlow, openScene, patience, type Scene } from './scene.ts';

const { ten, twenty, thirty, neighbour } = places;
let scene: Scene;

const full = [
  open('tcp', tcp(twenty, doors.open)),
  open('udp', udp(twenty, doors.open)),
  open('ping', icmp(twenty)),
  open('the router of the host', tcp(places.router, doors.open)),
];
const nothing = full.map((attempt) => ({ ...attempt, expect: 'closed' as const }));

describeOnBed('egress on a bridge', () => {
  beforeAll(async () => {
    scene = await openScene();
    await scene.add({ a: {}, b: {} });
  });
  beforeEach(async () => {
    for (const name of ['a', 'b']) {
      await scene.setPolicy(name, { internet: 'off', allow: [], bandwidth_mbit: 0 });
    }
  });
  afterAll(async () => {
    await scene.dispose();
  });

  it('off, full and off again take effect at once, for one machine alone', async () => {
    await scene.expectAll('a', nothing);
    await scene.setPolicy('a', { allow_internet: true });
    await Promise.all([scene.expectAll('a', full), scene.expectAll('b', nothing)]);
    await scene.setPolicy('a', { allow_internet: false });
    await scene.expectAll('a', nothing);
  });

  it('full is every public address, and a private one only where it is named', async () => {
    await scene.setPolicy('a', { internet: 'full' });
    const lan = [
      closed('the local network', tcp(neighbour, doors.open)),
      closed('the local network, ping', icmp(neighbour)),
      closed('metadata', tcp(places.metadata, doors.open)),
      closed('a private network', tcp(places.office, doors.open)),
    ];
    await scene.expectAll('a', lan);
    await scene.setPolicy('a', { internet: 'full', allow: ['192.168.77.0/24'] });
    await scene.expectAll('a', [
      ...full,
      open('the local network', tcp(neighbour, doors.open)),
      open('the local network, udp', udp(neighbour, doors.open)),
      open('the local network, ping', icmp(neighbour)),
      closed("the host's address in it", tcp(places.lan, 9001)),
      closed('metadata', tcp(places.metadata, doors.open)),
      closed('a private network', tcp(places.office, doors.open)),
    ]);
  });

  it('a list opens addresses, ports and ranges of ports, and nothing beside them', async () => {
    const allow = [`${twenty}:${String(doors.open)}`, `${thirty}:7000-7001`, `${neighbour}/32`];
    await scene.setPolicy('a', { internet: 'list', allow });
    await scene.expectAll('a', [
      open('the port, tcp', tcp(twenty, doors.open)),
      open('the port, udp', udp(twenty, doors.open)),
      open('large datagrams', udp(twenty, doors.open, 6000)),
      closed('a port beside it, tcp', tcp(twenty, doors.closed)),
      closed('a port beside it, udp', udp(twenty, doors.closed)),
      closed('ping where ports are named', icmp(twenty)),
      open('the end of a range', tcp(thirty, 7001)),
      closed('a port after it', tcp(thirty, 7002)),
      closed('an address beside it', tcp(ten, doors.open)),
      open('a network that is named, tcp', tcp(neighbour, doors.closed)),
      open('a network that is named, ping', icmp(neighbour)),
      closed('another name server', dns(places.nameServer, 'allowed.test')),
      says('a name', dns(gateway, 'allowed.test'), 'REFUSED'),
    ]);
    await scene.expectAll('b', [closed("another machine's list", tcp(twenty, doors.open))]);
  });

  it('no list opens other name servers', async () => {
    const allow = [`${places.nameServer}/32`, `${ten}/32`];
    await scene.setPolicy('a', { internet: 'list', allow });
    await scene.expectAll('a', [
      open('the address itself', tcp(ten, doors.open)),
      closed('udp', dns(places.nameServer, 'allowed.test')),
      closed('tcp', dns(places.nameServer, 'allowed.test', { over: 'tcp' })),
      closed('over TLS', tcp(ten, 853)),
    ]);
  });

  it('pieces of a datagram pass no port that is closed', async () => {
    const { address } = await scene.place('a');
    await scene.setPolicy('a', { internet: 'list', allow: [`${twenty}:${String(doors.open)}`] });
    await scene.bed.hostPeers.reset();
    const pieces = {
      kind: 'frame',
      family: 'ipv4',
      protocol: 'udp',
      to_mac: gatewayMac,
      source: address,
      to: twenty,
      size: 900,
      fragment: 400,
    } as const;
    await scene.expectAll('a', [
      { name: 'closed', probe: { ...pieces, port: doors.closed }, expect: 'stopped' },
      {
        name: 'header alone',
        probe: { ...pieces, port: doors.closed, fragment: 8, size: 64 },
        expect: 'stopped',
      },
    ]);
  });

  it('every public address at one port', async () => {
    await scene.setPolicy('a', { internet: 'list', allow: [`*:${String(doors.open)}`] });
    await scene.expectAll('a', [
      open('one', tcp(twenty, doors.open)),
      open('another', udp(thirty, doors.open)),
      closed('another port', tcp(twenty, doors.closed)),
      closed('ping', icmp(twenty)),
      closed('a private address', tcp(neighbour, doors.open)),
      says('a name', dns(gateway, 'allowed.test'), `NOERROR ${twenty}`),
      says('a name into the local network', dns(gateway, 'lan.test'), 'REFUSED'),
    ]);
  });

  it('an open connection and an open flow of datagrams end with what allowed them', async () => {
    const to = { to: twenty, port: doors.open };
    await scene.setPolicy('a', { internet: 'full' });
    await scene.setPolicy('b', { internet: 'full' });
    const [unrelated, ...revoked] = await Promise.all([
      openFlow(scene, 'b', { kind: 'tcp', ...to }),
      openFlow(scene, 'a', { kind: 'tcp', ...to }),
      openFlow(scene, 'a', { kind: 'udp', ...to }),
    ]);
    await scene.setPolicy('a', { internet: 'off' });
    const { counts } = await scene.bed.internetPeers.report();
    await Promise.all(revoked.map((flow) => flow.isDead()));
    const later = (await scene.bed.internetPeers.report()).counts;
    // Not one message more has left, but for one that was on its way.
    for (const { name } of revoked) {
      expect((later[name] ?? 0) - (counts[name] ?? 0)).toBeLessThanOrEqual(1);
    }
    await unrelated.lives();
  });

  it('an open connection goes on when a change still allows it', async () => {
    const to = { to: twenty, port: doors.open };
    const allow = `${twenty}:${String(doors.open)}`;
    await scene.setPolicy('a', { internet: 'full' });
    const [ended, ...kept] = await Promise.all([
      openFlow(scene, 'a', { kind: 'tcp', to: thirty, port: doors.open }),
      openFlow(scene, 'a', { kind: 'tcp', ...to }),
      openFlow(scene, 'a', { kind: 'udp', ...to }),
    ]);
    await scene.setPolicy('a', { internet: 'list', allow: [allow] });
    await ended.isDead();
    await Promise.all(kept.map((flow) => flow.lives()));
    await scene.setPolicy('a', { allow: [allow, '.both.test'], bandwidth_mbit: 50 });
    await Promise.all(kept.map((flow) => flow.lives()));
  });

  it('a limit holds in both directions, and goes', async () => {
    await scene.setPolicy('a', { internet: 'full' });
    const taken = async (): Promise<number> =>
      (await scene.bed.internetPeers.report()).counts['taken'] ?? 0;
    // Bits per second that arrive, whatever still waits to be sent.
    const rate = async (direction: 'in' | 'out'): Promise<number> => {
      const wait = 1.5;
      const probe = { kind: 'pour', to: twenty, port: doors.own, direction, wait } as const;
      const before = await taken();
      const [outcome] = await scene.attempts('a', [says('rate', probe, '')]);
      const perSecond =
        direction === 'in' ? Number(outcome?.found) : ((await taken()) - before) / wait;
      return perSecond * 8;
    };
    const free = { in: await rate('in'), out: await rate('out') };
    const limit = 5_000_000;
    await scene.setPolicy('a', { bandwidth_mbit: limit / 1_000_000 });
    for (const direction of ['in', 'out'] as const) {
      const limited = await rate(direction);
      expect(limited / free[direction]).toBeLessThan(0.5);
      expect(limited / limit).toBeGreaterThan(0.1);
      // What it may send at once counts too.
      expect(limited / limit).toBeLessThan(2);
    }
    await scene.setPolicy('a', { bandwidth_mbit: 0 });
    expect((await rate('in')) / free.in).toBeGreaterThan(0.3);
  });

  it('traffic is counted, and what was denied is remembered with where it went', async () => {
    const { client } = scene;
    const info = async () => await client().call('network_info', { workspace_id: 'b' });
    const before = await info();
    await scene.setPolicy('b', { internet: 'list', allow: [`${thirty}/32`] });
    await scene.expectAll('b', [
      open('allowed', tcp(thirty, doors.open)),
      closed('tcp', tcp(ten, 4443)),
      closed('udp', udp(ten, 4444)),
      closed('ping', icmp(ten)),
      closed('the host', tcp(gateway, 9001)),
      says('a name', dns(gateway, 'denied.test'), 'REFUSED'),
    ]);
    const log = await client().call('network_log', { workspace_id: 'b' });
    const denied = (
      kind: string,
      destination: string,
      port: number | null,
      protocol: string,
    ): unknown => expect.objectContaining({ kind, destination, port, protocol });
    expect(log).toEqual(
      expect.arrayContaining([
        denied('connection', ten, 4443, 'tcp'),
        denied('connection', ten, 4444, 'udp'),
        denied('connection', ten, null, 'icmp'),
        denied('connection', gateway, 9001, 'tcp'),
        denied('name', 'denied.test', null, 'dns'),
      ]),
    );
    for (const { count, reason } of log) {
      expect(count).toBeGreaterThan(0);
      expect(reason).not.toBe('');
    }
    const times = log.map(({ last_at }) => Date.parse(last_at));
    expect(times).toEqual(times.toSorted((first, second) => second - first));
    const after = await info();
    for (const counter of [
      'sent_bytes',
      'sent_packets',
      'received_bytes',
      'received_packets',
      'denied_packets',
    ] as const) {
      expect(after[counter], counter).toBeGreaterThan(before[counter]);
    }
    const others = await client().call('network_log', { workspace_id: 'a' });
    expect(others.map(({ port }) => port)).not.toContain(4443);
  });

  it('a change is told to whoever listens', async () => {
    const told: unknown[] = [];
    const listener = await scene.daemon.connect();
    await listener.subscribe(({ event }) => {
      if (event.type === 'network_changed') told.push(event.network_policy);
    });
    await scene.setPolicy('a', { internet: 'full' });
    await expect
      .poll(() => told.at(-1), patience)
      .toMatchObject({ allow_internet: true, internet: 'full' });
    listener.close();
  });
});
