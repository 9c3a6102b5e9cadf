/** Frames that no honest machine sends. Whoever sends them is `closed`; `other` is whom it means. */
import { doors, hostDoors, places } from '../support/networkBed.ts';
import type { Cast, Row } from './matrixRows.ts';
import type { Expectation, FrameProbe } from './probes.ts';
import { gateway, gatewayMac } from './scene.ts';

const everybody = 'ff:ff:ff:ff:ff:ff';
const stranger = '02:c0:de:ad:be:ef';

function frame(
  name: string,
  expect: Expectation,
  probe: (cast: Cast) => Omit<FrameProbe, 'kind'>,
): Row {
  return {
    name: `a frame: ${name}`,
    from: 'closed',
    expect,
    probe: (cast) => ({ kind: 'frame', ...probe(cast) }),
  };
}

/** To the gateway, as packets are sent; the sender's own addresses unless said otherwise. */
const packet = (
  { closed }: Cast,
  protocol: string,
  to: string,
  more: Partial<FrameProbe> = {},
): Omit<FrameProbe, 'kind'> => ({
  family: 'ipv4',
  protocol,
  to_mac: gatewayMac,
  source: closed.address,
  to,
  port: doors.closed,
  ...more,
});

const card = 'stopped at the card';

const falseSenders: readonly Row[] = [
  frame("another machine's address", card, (cast) =>
    packet(cast, 'udp', places.twenty, { source: cast.other.address }),
  ),
  frame("an open machine's address", card, (cast) =>
    packet(cast, 'udp', places.twenty, { source: cast.open.address }),
  ),
  frame("an open machine's address and card", card, (cast) =>
    packet(cast, 'udp', places.twenty, { source: cast.open.address, from_mac: cast.open.mac }),
  ),
  frame("an open machine's address in a SYN", card, (cast) =>
    packet(cast, 'tcp', places.twenty, { source: cast.open.address }),
  ),
  frame("the gateway's address", card, (cast) =>
    packet(cast, 'udp', cast.other.address, { source: gateway }),
  ),
  frame("the host's outer address", card, (cast) =>
    packet(cast, 'udp', cast.other.address, { source: places.outer }),
  ),
  frame('an address of the internet', card, (cast) =>
    packet(cast, 'udp', cast.other.address, { source: places.twenty }),
  ),
  frame('127.0.0.1 as sender', card, (cast) =>
    packet(cast, 'udp', gateway, { source: '127.0.0.1', port: hostDoors.loopback }),
  ),
  frame('no address', card, (cast) => packet(cast, 'udp', gateway, { source: '0.0.0.0' })),
  frame('an unknown card', card, (cast) => packet(cast, 'icmp', gateway, { from_mac: stranger })),
  frame("another machine's card", card, (cast) =>
    packet(cast, 'icmp', gateway, { from_mac: cast.other.mac }),
  ),
  frame("the gateway's card", card, (cast) =>
    packet(cast, 'icmp', gateway, { from_mac: gatewayMac }),
  ),
];

const arp = (
  protocol: 'request' | 'reply',
  source: string,
  to: string,
  more: Partial<FrameProbe> = {},
): Omit<FrameProbe, 'kind'> => ({
  family: 'arp',
  protocol,
  to_mac: everybody,
  source,
  to,
  ...more,
});

const poison: readonly Row[] = [
  frame("an ARP reply for another machine's address", card, (cast) =>
    arp('reply', cast.other.address, gateway, { to_mac: gatewayMac, target_mac: gatewayMac }),
  ),
  frame("a gratuitous ARP for another machine's address", card, ({ other }) =>
    arp('request', other.address, other.address),
  ),
  frame('a gratuitous ARP for the gateway', card, () => arp('reply', gateway, gateway)),
  frame('an ARP reply to another machine for the gateway', card, ({ other }) =>
    arp('reply', gateway, other.address, { to_mac: other.mac }),
  ),
  frame("an ARP request with another machine's address", card, ({ other }) =>
    arp('request', other.address, gateway),
  ),
  frame("an ARP reply with its own address and another's card", card, ({ closed, other }) =>
    arp('reply', closed.address, gateway, { claims_mac: other.mac }),
  ),
];

const sixth = (
  protocol: string,
  to: string,
  more: Partial<FrameProbe> = {},
): Omit<FrameProbe, 'kind'> => ({
  family: 'ipv6',
  protocol,
  to_mac: '33:33:00:00:00:01',
  source: 'fe80::2',
  to,
  ...more,
});

const otherWires: readonly Row[] = [
  frame('IPv6: I am a router', card, () => sixth('router', 'ff02::1')),
  frame('IPv6: who is there', card, () => sixth('solicit', 'fe80::1')),
  frame('IPv6: I am the gateway', card, () => sixth('advert', 'ff02::1')),
  frame('IPv6: ping to the host', card, () => sixth('echo', 'fe80::1', { to_mac: gatewayMac })),
  frame('IPv6: ping to another machine', card, ({ other }) =>
    sixth('echo', 'fe80::3', { to_mac: other.mac }),
  ),
  frame('IPv6: multicast DNS', card, () => sixth('udp', 'ff02::fb')),
  frame('a VLAN', card, (cast) => packet(cast, 'icmp', gateway, { vlan: 5 })),
  frame('LLDP', card, () => ({
    family: 'ether',
    protocol: 'raw',
    ethertype: 0x88_cc,
    to_mac: '01:80:c2:00:00:0e',
  })),
  frame('PPPoE', card, () => ({
    family: 'ether',
    protocol: 'raw',
    ethertype: 0x88_63,
    to_mac: everybody,
  })),
];

/** Honest senders, and places that are none of their business. */
const pastTheRules: readonly Row[] = [
  frame("straight to another machine's card", 'stopped', (cast) =>
    packet(cast, 'udp', cast.other.address, { to_mac: cast.other.mac }),
  ),
  frame("a SYN straight to another machine's card", 'stopped', (cast) =>
    packet(cast, 'tcp', cast.other.address, { to_mac: cast.other.mac }),
  ),
  frame('to everybody', 'stopped', (cast) =>
    packet(cast, 'udp', '10.42.255.255', { to_mac: everybody }),
  ),
  frame('to everybody on this wire', 'stopped', (cast) =>
    packet(cast, 'udp', '255.255.255.255', { to_mac: everybody }),
  ),
  frame('to a multicast group', 'stopped', (cast) =>
    packet(cast, 'udp', '224.0.0.251', { to_mac: '01:00:5e:00:00:fb' }),
  ),
  frame('an offer of DHCP', 'stopped', (cast) =>
    packet(cast, 'udp', '255.255.255.255', { to_mac: everybody, from_port: 67, port: 68 }),
  ),
  frame("a SYN to the host's 127.0.0.1", 'stopped', (cast) =>
    packet(cast, 'tcp', '127.0.0.1', { port: hostDoors.loopback }),
  ),
  frame("a datagram to the host's 127.0.0.1", 'stopped', (cast) =>
    packet(cast, 'udp', '127.0.0.1', { port: hostDoors.loopback }),
  ),
  frame('a SYN to a forward of 127.0.0.1', 'stopped', (cast) =>
    packet(cast, 'tcp', '127.0.0.1', { port: 17_002 }),
  ),
  frame("a ping to the host's 127.0.0.1", 'stopped', (cast) => packet(cast, 'icmp', '127.0.0.1')),
  frame('a SYN to the gateway', 'stopped', (cast) =>
    packet(cast, 'tcp', gateway, { port: hostDoors.everywhere }),
  ),
  frame('pieces of a datagram to the internet', 'stopped', (cast) =>
    packet(cast, 'udp', places.twenty, { size: 900, fragment: 400 }),
  ),
  frame('a first piece without anything in it', 'stopped', (cast) =>
    packet(cast, 'tcp', places.twenty, { fragment: 8 }),
  ),
  frame('pieces of a datagram to another machine', 'stopped', (cast) =>
    packet(cast, 'udp', cast.other.address, { size: 900, fragment: 400 }),
  ),
  frame('pieces of a datagram to the host', 'stopped', (cast) =>
    packet(cast, 'udp', gateway, { port: hostDoors.everywhere, size: 900, fragment: 400 }),
  ),
  frame('IP in IP to the gateway', 'stopped', (cast) =>
    packet(cast, 'ipip', gateway, { inner: cast.other.address }),
  ),
  frame('GRE to the internet', 'stopped', (cast) => packet(cast, 'gre', places.twenty)),
  frame('SCTP to another machine', 'stopped', (cast) => packet(cast, 'sctp', cast.other.address)),
];

export const frameRows: readonly Row[] = [
  ...falseSenders,
  ...poison,
  ...otherWires,
  ...pastTheRules,
];
