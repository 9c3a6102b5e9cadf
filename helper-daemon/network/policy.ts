/** What one machine may reach and who may reach it, as it is stored and as both networks enforce it. */
import {
  parseIpv4,
  parseNetworkTarget,
  type NetworkTarget,
  type PortRange,
} from '../../protocol/networkTarget.ts';

export interface NetworkPolicy {
  /** `off`: nothing. `list`: what `allow` names. `full`: every public address, and what `allow` names. */
  readonly internet: 'off' | 'list' | 'full';
  /** Texts of protocol/networkTarget.ts. */
  readonly allow: readonly string[];
  /** Reaches, and is reached by, others that allow it too. */
  readonly allowInterVm: boolean;
  /** TCP ports that every other machine may connect to. */
  readonly allowedPorts: readonly number[];
  /** Mbit/s in each direction; 0: no limit. */
  readonly bandwidthMbit: number;
  /** Reaches the other members. */
  readonly team: string | null;
}

export const closedPolicy: NetworkPolicy = {
  internet: 'off',
  allow: [],
  allowInterVm: false,
  allowedPorts: [],
  bandwidthMbit: 0,
  team: null,
};

/** What the policy names, ready to be compared. */
export interface ParsedPolicy {
  readonly cidrs: readonly Extract<NetworkTarget, { kind: 'cidr' }>[];
  readonly domains: readonly Extract<NetworkTarget, { kind: 'domain' }>[];
  /** Ports at which every public address may be reached; undefined in it: all of them. */
  readonly publicPorts: readonly (PortRange | undefined)[];
}

/** Nothing where the internet is off. */
export function parsePolicy(policy: NetworkPolicy): ParsedPolicy {
  const targets =
    policy.internet === 'off'
      ? []
      : policy.allow.map(parseNetworkTarget).filter((target) => target !== undefined);
  return {
    cidrs: targets.filter((target) => target.kind === 'cidr'),
    domains: targets.filter((target) => target.kind === 'domain'),
    publicPorts: [
      ...(policy.internet === 'full' ? [undefined] : []),
      ...targets.filter((target) => target.kind === 'public').map(({ ports }) => ports),
    ],
  };
}

/**
 * Addresses that are nobody's on the internet: this host, its local networks, cloud metadata, multicast. Only a
 * CIDR that names them opens them; a name that resolves to one is refused.
 */
export const privateRanges: readonly string[] = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '224.0.0.0/3',
];

const parsedPrivate = privateRanges.map((range) => parseCidr(range));

/** Also what is no IPv4 address at all. */
export function isPrivate(address: string): boolean {
  if (parseIpv4(address) === undefined) return true;
  return parsedPrivate.some((range) => inRange(address, range));
}

export interface Range {
  readonly address: string;
  readonly prefixLength: number;
}

function parseCidr(text: string): Range {
  const [address = '', bits = ''] = text.split('/');
  return { address, prefixLength: Number(bits) };
}

export function inRange(address: string, range: Range): boolean {
  const value = parseIpv4(address);
  const base = parseIpv4(range.address);
  if (value === undefined || base === undefined) return false;
  const size = 2 ** (32 - range.prefixLength);
  return value >= base && value < base + size;
}

export function domainMatches(
  target: Extract<NetworkTarget, { kind: 'domain' }>,
  name: string,
): boolean {
  return (
    (target.itself && name === target.name) || (target.below && name.endsWith(`.${target.name}`))
  );
}

/** DNS and DNS over TLS: a machine's questions go to its gateway alone. */
export const nameServicePorts: readonly number[] = [53, 853];

/** Whether each of two machines may open any connection to the other. */
export function arePeers(a: NetworkPolicy, b: NetworkPolicy): boolean {
  return (a.team !== null && a.team === b.team) || (a.allowInterVm && b.allowInterVm);
}
