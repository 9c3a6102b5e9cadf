/** What other tests expect to fail can succeed: the probes themselves, where nothing is in their way. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  describeOnBed,
  doors,
  inNamespace,
  openNetworkBed,
  places,
  type NetworkBed,
} from '../support/networkBed.ts';
import {
  attempt,
  closed,
  compared,
  dns,
  fromNamespace,
  icmp,
  open,
  says,
  tcp,
  udp,
  type Attempt,
  type FrameProbe,
} from './probes.ts';

let bed: NetworkBed;

async function expectAll(attempts: readonly Attempt[]): Promise<void> {
  const outcomes = await attempt(fromNamespace(bed.host), attempts, bed.hostPeers);
  const { found, expected } = compared(outcomes);
  expect(found).toEqual(expected);
}

describeOnBed('probes', () => {
  beforeAll(async () => {
    bed = await openNetworkBed();
  });
  afterAll(async () => {
    await bed.dispose();
  });

  it('tell open from closed', async () => {
    await expectAll([
      open('tcp', tcp(places.twenty, doors.closed)),
      open('udp', udp(places.metadata, doors.closed)),
      open('large datagrams', udp(places.twenty, doors.closed, 6000)),
      open('ping', icmp(places.neighbour)),
      open('TLS port of a name server', tcp(places.ten, 853)),
      closed('a port nobody has', tcp(places.twenty, 9)),
      closed('a port nobody has, udp', udp(places.twenty, 9)),
      closed('an address nobody has', icmp('203.0.113.77')),
    ]);
  });

  it('read answers of name servers', async () => {
    const { nameServer, twenty, neighbour, office } = places;
    await expectAll([
      says('a name', dns(nameServer, 'allowed.test'), `NOERROR ${twenty}`),
      says('over tcp', dns(nameServer, 'allowed.test', { over: 'tcp' }), `NOERROR ${twenty}`),
      says('IPv6', dns(nameServer, 'allowed.test', { type: 'AAAA' }), 'NOERROR 2001:db8::20'),
      says('an alias', dns(nameServer, 'alias.test'), `NOERROR ${places.thirty}`),
      says('two', dns(nameServer, 'mixed.test'), `NOERROR ${neighbour} ${twenty}`),
      says('a private one', dns(nameServer, 'ten.test'), `NOERROR ${office}`),
      says('no name', dns(nameServer, 'nobody.test'), 'NXDOMAIN'),
    ]);
  });

  it('make frames that arrive, also in pieces, and are seen where they go', async () => {
    await bed.internetPeers.reset();
    const link = inNamespace(bed.internet, ['cat', '/sys/class/net/wan/address']).trim();
    const frame = (protocol: string, port: number, more: Partial<FrameProbe> = {}): FrameProbe => ({
      kind: 'frame',
      family: 'ipv4',
      card: 'wan',
      to_mac: link,
      source: places.outer,
      to: places.twenty,
      protocol,
      port,
      ...more,
    });
    const { closed: first, open: second, own: third, alsoOpen: fourth } = doors;
    const outcomes = await attempt(
      fromNamespace(bed.host),
      [
        { name: 'syn', probe: frame('tcp', first), expect: 'stopped' },
        {
          name: 'syn in pieces',
          probe: frame('tcp', second, { fragment: 8 }),
          expect: 'stopped',
        },
        { name: 'datagram', probe: frame('udp', third), expect: 'stopped' },
        {
          name: 'datagram in pieces',
          probe: frame('udp', fourth, { fragment: 400, size: 800 }),
          expect: 'stopped',
        },
      ],
      bed.hostPeers,
    );
    expect(Object.fromEntries(outcomes.map(({ name, found }) => [name, found]))).toMatchObject({
      syn: 'answered',
      'syn in pieces': 'answered',
      datagram: expect.stringContaining('leaked: wan out'),
      'datagram in pieces': expect.stringContaining('leaked: wan out'),
    });
    const { clients } = await bed.internetPeers.report();
    expect(Object.keys(clients)).toEqual(
      expect.arrayContaining([
        `udp ${String(third)} ${places.outer}`,
        `udp ${String(fourth)} ${places.outer}`,
      ]),
    );
  });

  it('leave nothing behind', async () => {
    const other = await openNetworkBed();
    expect(inNamespace(other.host, ['ip', 'netns', 'list'])).toContain(other.host);
    await other.dispose();
    expect(inNamespace(bed.host, ['ip', 'netns', 'list'])).not.toContain(other.host);
  });
});
