/**
 * The default matrix: what a closed machine, an open one, the host and the internet can reach of each other. Only
 * the open machine has internet (full) and port forwards; `closed` and `other` have the policy machines are made with.
 */
import { doors, hostDoors, places } from '../support/networkBed.ts';
import { dns, icmp, tcp, udp, type Expectation, type Probe } from './probes.ts';
import { gateway, loopbackDoor, type Place } from './scene.ts';

export interface Cast {
  readonly closed: Place;
  readonly other: Place;
  readonly open: Place;
}

export interface Row {
  readonly name: string;
  readonly from: 'closed' | 'other' | 'open' | 'host' | 'internet';
  readonly probe: (cast: Cast) => Probe;
  readonly expect: Expectation;
}

/** Forwards of the open machine: to its port 7002, to its own loopback, and one on every address of the host. */
export const forwards = {
  loopback: { guest_port: doors.open, host_port: 17_002, bind: '127.0.0.1' },
  inner: { guest_port: loopbackDoor, host_port: 17_009, bind: '127.0.0.1' },
  everywhere: { guest_port: doors.alsoOpen, host_port: 18_443, bind: '0.0.0.0' },
} as const;

const { closed: shut, open: free, own } = doors;
const { loopback, inner, everywhere } = forwards;

function row(
  from: Row['from'],
  name: string,
  expect: Expectation,
  probe: Probe | ((cast: Cast) => Probe),
): Row {
  return { from, name, expect, probe: typeof probe === 'function' ? probe : () => probe };
}

const betweenMachines: readonly Row[] = [
  row('closed', 'a machine, another one, tcp', 'closed', ({ other }) => tcp(other.address, shut)),
  row('closed', 'a machine, another one, udp', 'closed', ({ other }) => udp(other.address, shut)),
  row('closed', 'a machine, another one, ping', 'closed', ({ other }) => icmp(other.address)),
  row('closed', 'a machine, one with internet, tcp', 'closed', ({ open }) =>
    tcp(open.address, shut),
  ),
  row('closed', 'a machine, one with internet, udp', 'closed', ({ open }) =>
    udp(open.address, shut),
  ),
  row('closed', 'a machine, a forwarded port at the machine itself', 'closed', ({ open }) =>
    tcp(open.address, everywhere.guest_port),
  ),
  row('closed', 'a machine, itself', 'open', ({ closed }) => tcp(closed.address, own)),
  row('open', 'one with internet, another machine, tcp', 'closed', ({ closed }) =>
    tcp(closed.address, shut),
  ),
  row('open', 'one with internet, another machine, udp', 'closed', ({ closed }) =>
    udp(closed.address, shut),
  ),
  row('open', 'one with internet, another machine, ping', 'closed', ({ other }) =>
    icmp(other.address),
  ),
];

/** The same for whoever it is: the host's own services are nobody's. */
function hostIsClosedTo(from: 'closed' | 'open'): readonly Row[] {
  const who = from === 'closed' ? 'a machine' : 'one with internet';
  const { everywhere: port } = hostDoors;
  return [
    row(from, `${who}, the gateway, tcp`, 'closed', tcp(gateway, port)),
    row(from, `${who}, the gateway, udp`, 'closed', udp(gateway, port)),
    row(
      from,
      `${who}, the gateway, a listener there alone`,
      'closed',
      tcp(gateway, hostDoors.gateway),
    ),
    row(from, `${who}, the gateway, DNS over TLS`, 'closed', tcp(gateway, 853)),
    row(from, `${who}, the host's outer address, tcp`, 'closed', tcp(places.outer, port)),
    row(from, `${who}, the host's outer address, udp`, 'closed', udp(places.outer, port)),
    row(from, `${who}, the host's outer address, ping`, 'closed', icmp(places.outer)),
    row(from, `${who}, the host's address in the local network`, 'closed', tcp(places.lan, port)),
    row(from, `${who}, the gateway, ping`, 'open', icmp(gateway)),
    row(
      from,
      `${who}, a forward of 127.0.0.1 at the gateway`,
      'closed',
      tcp(gateway, loopback.host_port),
    ),
    row(
      from,
      `${who}, a forward of 127.0.0.1 outside`,
      'closed',
      tcp(places.outer, loopback.host_port),
    ),
    row(from, `${who}, a forward to a loopback`, 'closed', tcp(gateway, inner.host_port)),
    row(
      from,
      `${who}, a forward of every address, at the gateway`,
      'open',
      tcp(gateway, everywhere.host_port),
    ),
    row(
      from,
      `${who}, a forward of every address, outside`,
      'open',
      tcp(places.outer, everywhere.host_port),
    ),
  ];
}

/** Networks that are private, whatever of the internet is open. */
function privateIsClosedTo(from: 'closed' | 'open'): readonly Row[] {
  const who = from === 'closed' ? 'a machine' : 'one with internet';
  return [
    row(from, `${who}, the local network, tcp`, 'closed', tcp(places.neighbour, shut)),
    row(from, `${who}, the local network, udp`, 'closed', udp(places.neighbour, shut)),
    row(from, `${who}, the local network, ping`, 'closed', icmp(places.neighbour)),
    row(from, `${who}, cloud metadata`, 'closed', tcp(places.metadata, shut)),
    row(from, `${who}, a private network behind the router`, 'closed', tcp(places.office, shut)),
    row(from, `${who}, shared address space`, 'closed', tcp(places.carrier, shut)),
    row(from, `${who}, another name server, udp`, 'closed', dns(places.nameServer, 'allowed.test')),
    row(
      from,
      `${who}, another name server, tcp`,
      'closed',
      dns(places.ten, 'allowed.test', { over: 'tcp' }),
    ),
    row(from, `${who}, a name server over TLS`, 'closed', tcp(places.ten, 853)),
  ];
}

const outside: readonly Row[] = [
  row('closed', 'a machine, the internet, tcp', 'closed', tcp(places.twenty, shut)),
  row('closed', 'a machine, the internet, udp', 'closed', udp(places.twenty, shut)),
  row('closed', 'a machine, the internet, ping', 'closed', icmp(places.twenty)),
  row('closed', 'a machine, the router of the host', 'closed', tcp(places.router, shut)),
  row('closed', 'a machine, a name', { says: 'REFUSED' }, dns(gateway, 'allowed.test')),
  row(
    'closed',
    'a machine, a name over tcp',
    { says: 'REFUSED' },
    dns(gateway, 'denied.test', { over: 'tcp' }),
  ),
  row(
    'closed',
    'a machine, the name of one it cannot reach',
    { says: 'NXDOMAIN' },
    dns(gateway, 'other.coppice'),
  ),
  row('open', 'one with internet, the internet, tcp', 'open', tcp(places.twenty, free)),
  row('open', 'one with internet, the internet, udp', 'open', udp(places.twenty, free)),
  row('open', 'one with internet, large datagrams', 'open', udp(places.twenty, free, 6000)),
  row('open', 'one with internet, the internet, ping', 'open', icmp(places.thirty)),
  row(
    'open',
    'one with internet, a name',
    { says: `NOERROR ${places.twenty}` },
    dns(gateway, 'allowed.test'),
  ),
  row(
    'open',
    'one with internet, a name over tcp',
    { says: `NOERROR ${places.thirty}` },
    dns(gateway, 'sub.cdn.test', { over: 'tcp' }),
  ),
  row(
    'open',
    'one with internet, an IPv6 address of a name',
    { says: 'NOERROR' },
    dns(gateway, 'allowed.test', { type: 'AAAA' }),
  ),
  row(
    'open',
    'one with internet, a name that leads to 127.0.0.1',
    { says: 'REFUSED' },
    dns(gateway, 'loopback.test'),
  ),
  row(
    'open',
    'one with internet, a name that leads into 10/8',
    { says: 'REFUSED' },
    dns(gateway, 'ten.test'),
  ),
  row(
    'open',
    'one with internet, a name that leads to the metadata',
    { says: 'REFUSED' },
    dns(gateway, 'metadata.test'),
  ),
  row(
    'open',
    'one with internet, a name that leads to the local network',
    { says: 'REFUSED' },
    dns(gateway, 'lan.test'),
  ),
  row(
    'open',
    'one with internet, a name that leads to both',
    { says: `NOERROR ${places.twenty}` },
    dns(gateway, 'mixed.test'),
  ),
];

const inward: readonly Row[] = [
  row('internet', 'the internet, a machine, tcp', 'closed', ({ closed }) =>
    tcp(closed.address, shut),
  ),
  row('internet', 'the internet, a machine, udp', 'closed', ({ closed }) =>
    udp(closed.address, shut),
  ),
  row('internet', 'the internet, a machine, ping', 'closed', ({ closed }) => icmp(closed.address)),
  row('internet', 'the internet, one with internet, tcp', 'closed', ({ open }) =>
    tcp(open.address, shut),
  ),
  row('internet', 'the internet, one with internet, udp', 'closed', ({ open }) =>
    udp(open.address, shut),
  ),
  row('internet', 'the internet, a forwarded port at the machine itself', 'closed', ({ open }) =>
    tcp(open.address, everywhere.guest_port),
  ),
  row(
    'internet',
    'the internet, a forward of every address',
    'open',
    tcp(places.outer, everywhere.host_port),
  ),
  row('internet', 'the local network, a forward of every address', 'open', {
    ...tcp(places.lan, everywhere.host_port),
    from: places.neighbour,
  } as Probe),
  row(
    'internet',
    'the internet, a forward of 127.0.0.1',
    'closed',
    tcp(places.outer, loopback.host_port),
  ),
  row(
    'internet',
    'the internet, a forward to a loopback',
    'closed',
    tcp(places.outer, inner.host_port),
  ),
  row('internet', 'the internet, a name at the gateway', 'closed', dns(gateway, 'allowed.test')),
  row('host', 'the host, a machine', 'open', ({ closed }) => tcp(closed.address, own)),
  row('host', 'the host, a forward of 127.0.0.1', 'open', tcp('127.0.0.1', loopback.host_port)),
  row('host', 'the host, a forward to a loopback', 'open', tcp('127.0.0.1', inner.host_port)),
  row(
    'host',
    'the host, a forward of every address, at 127.0.0.1',
    'open',
    tcp('127.0.0.1', everywhere.host_port),
  ),
  row(
    'host',
    'the host, a forward of every address, at its own',
    'open',
    tcp(places.outer, everywhere.host_port),
  ),
  row(
    'host',
    'the host, a forward of every address, at the gateway',
    'open',
    tcp(gateway, everywhere.host_port),
  ),
  row(
    'host',
    'the host, a forward of 127.0.0.1 at another address',
    'closed',
    tcp(places.outer, loopback.host_port),
  ),
];

/** Who was attacked just before goes on as ever. */
const unharmed: readonly Row[] = [
  row('host', 'the host, whoever was impersonated', 'open', ({ other }) => tcp(other.address, own)),
  row('other', 'whoever was impersonated, the gateway', 'open', icmp(gateway)),
  row(
    'other',
    'whoever was impersonated, its name server',
    { says: 'REFUSED' },
    dns(gateway, 'allowed.test'),
  ),
];

export const reachRows: readonly Row[] = [
  ...betweenMachines,
  ...hostIsClosedTo('closed'),
  ...hostIsClosedTo('open'),
  ...privateIsClosedTo('closed'),
  ...privateIsClosedTo('open'),
  ...outside,
  ...inward,
  ...unharmed,
];
