/** What a card means in the sets and maps of the skeleton. */
import type { PortRange } from '../../../protocol/networkTarget.ts';
import type { Card, CardForward } from '../network.ts';
import {
  arePeers,
  inRange,
  parsePolicy,
  type NetworkPolicy,
  type ParsedPolicy,
} from '../policy.ts';
import type { Element, SetElement } from './elements.ts';
import { portText, united, without } from './portRanges.ts';
import { tapPrefix } from './skeleton.ts';

/** Of the device of one run; 15 characters, the most that Linux allows. */
export function tapName(runId: string): string {
  return `${tapPrefix}${runId.replaceAll('-', '').slice(0, 11)}`;
}

/** Everything that follows from this card alone. */
export function elementsOfCard(card: Card, tap: string): Element[] {
  const { address, mac, policy } = card;
  return [
    { set: 'cards', key: [tap, mac] },
    { set: 'sources', key: [tap, mac, address] },
    { set: 'sent', key: [address] },
    { set: 'received', key: [address] },
    { set: 'refused', key: [address] },
    ...limitsOf(card),
    ...(policy.internet === 'off' ? [] : reachOf(card)),
    ...(policy.allowInterVm ? [one('open', address)] : []),
    ...[...new Set(policy.allowedPorts)].map((port) => one('inbound', address, String(port))),
    ...card.forwards.flatMap((forward) => forwardElements(address, forward)),
    ...[...new Set(card.forwards.map(({ guestPort }) => guestPort))].map((port) =>
      one('forwarded', address, String(port)),
    ),
  ];
}

function forwardElements(
  address: string,
  { bind, hostPort, guestPort, direct }: CardForward,
): Element[] {
  const value = [address, String(guestPort)];
  const port = String(hostPort);
  if (bind === '0.0.0.0') {
    return [
      ...(direct ? [{ set: 'forwards_any', key: [port], value } as const] : []),
      one('published_any', port),
    ];
  }
  const isLoopback = bind.startsWith('127.');
  return [
    ...(direct ? [{ set: 'forwards', key: [bind, port], value } as const] : []),
    ...(isLoopback ? [] : [one('published', bind, port)]),
  ];
}

/** Both directions between two members of a team. */
export function elementsOfPair(a: Card, b: Card): Element[] {
  return [one('pairs', a.address, b.address), one('pairs', b.address, a.address)];
}

/** Whether `asker` may open a connection to `other` at all. */
export function mayReach(asker: Card, other: Card): boolean {
  return arePeers(asker.policy, other.policy) || other.policy.allowedPorts.length > 0;
}

function one(set: SetElement['set'], ...key: string[]): SetElement {
  return { set, key };
}

/** Names hold the rate: a limit is never changed, another one takes its place. */
function limitsOf({ address, policy: { bandwidthMbit } }: Card): Element[] {
  if (bandwidthMbit === 0) return [];
  const bytesPerSecond = bandwidthMbit * 125_000;
  return (['upload', 'download'] as const).flatMap((set): Element[] => {
    const limit = `${set}.${address}.${String(bandwidthMbit)}`;
    return [
      { limit, bytesPerSecond },
      { set, key: [address], value: [limit] },
    ];
  });
}

function reachOf({ address, revision, policy }: Card): Element[] {
  const parsed = parsePolicy(policy);
  const ports = united(parsed.publicPorts.filter((range) => range !== undefined));
  const isEverywhere = parsed.publicPorts.includes(undefined);
  return [
    { set: 'revision', key: [address], value: [String(revision)] },
    one('current', address, String(revision)),
    ...(isEverywhere ? [one('everywhere', address)] : []),
    ...(isEverywhere ? [] : ports.map((range) => one('public_ports', address, portText(range)))),
    ...cidrElements(address, parsed.cidrs),
  ];
}

type Cidr = ParsedPolicy['cidrs'][number];

/**
 * Two CIDRs are apart or one contains the other, so overlaps go away by leaving out of each what a wider one already
 * allows.
 */
function cidrElements(machine: string, cidrs: readonly Cidr[]): SetElement[] {
  const byRange = [...Map.groupBy(cidrs, rangeText)].map(([text, same]) => ({
    text,
    cidr: same[0] as Cidr,
    all: same.some(({ ports }) => ports === undefined),
    ports: united(same.flatMap(({ ports }): PortRange[] => (ports === undefined ? [] : [ports]))),
  }));
  return byRange.flatMap(({ text, cidr, all, ports }): SetElement[] => {
    const wider = byRange.filter(
      (other) => other.cidr.prefixLength < cidr.prefixLength && inRange(cidr.address, other.cidr),
    );
    if (wider.some((other) => other.all)) return [];
    if (all) return [one('cidrs', machine, text)];
    const covered = wider.flatMap((other) => other.ports);
    return without(ports, covered).map((range) =>
      one('cidr_ports', machine, text, portText(range)),
    );
  });
}

function rangeText({ address, prefixLength }: Cidr): string {
  return prefixLength === 32 ? address : `${address}/${String(prefixLength)}`;
}

/** The ports of domains, each of which can be admitted by itself. */
export function domainPorts(policy: NetworkPolicy): PortRange[] {
  return parsePolicy(policy).domains.flatMap(({ ports }) => (ports === undefined ? [] : [ports]));
}
