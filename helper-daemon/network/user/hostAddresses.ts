/**
 * This host's own addresses, which no machine may reach. Asked of the kernel's routing table rather than of the
 * interfaces alone: an address of an interface without a carrier, or of a local route, is this host's too.
 */
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { parseIpv4 } from '../../../protocol/networkTarget.ts';

export interface HostAddresses {
  /** `now` in monotonic milliseconds. */
  has(address: number, now: number): boolean;
  /** Changes with the set, so that what was decided with it can be thrown away. */
  revision(now: number): number;
}

/** First and last address. */
export type AddressSpan = readonly [number, number];

/** Looked at again only when somebody asks: nothing wakes an idle daemon. */
const maxAgeMs = 3000;

/** Loopback, and "this host on this network". */
const always: readonly AddressSpan[] = [
  [0x7f00_0000, 0x7fff_ffff],
  [0, 0x00ff_ffff],
];

export function createHostAddresses(
  read: () => readonly AddressSpan[] = readHostAddresses,
): HostAddresses {
  let spans: readonly AddressSpan[] = [];
  let known = '';
  let readAt = Number.NEGATIVE_INFINITY;
  let revision = 0;

  function refresh(now: number): void {
    if (now - readAt < maxAgeMs) return;
    readAt = now;
    const found = read();
    const text = found.map((span) => span.join('-')).join();
    if (text === known && revision > 0) return;
    known = text;
    spans = [...always, ...found];
    revision += 1;
  }

  return {
    has(address, now) {
      refresh(now);
      return spans.some(([first, last]) => address >= first && address <= last);
    },
    revision(now) {
      refresh(now);
      return revision;
    },
  };
}

export function readHostAddresses(): AddressSpan[] {
  const interfaces = Object.values(networkInterfaces())
    .flatMap((entries) => entries ?? [])
    .flatMap(({ family, address }) => (family === 'IPv4' ? [parseIpv4(address)] : []))
    .filter((address) => address !== undefined)
    .map((address): AddressSpan => [address, address]);
  return [...interfaces, ...localRoutes(routingTrie())];
}

function routingTrie(): string {
  try {
    return readFileSync('/proc/net/fib_trie', 'utf8');
  } catch {
    return '';
  }
}

/** Local and broadcast routes in the text of /proc/net/fib_trie: an address, then its prefixes one per line. */
export function localRoutes(trie: string): AddressSpan[] {
  const found = new Map<string, AddressSpan>();
  let base: number | undefined;
  for (const line of trie.split('\n')) {
    const address = /\|-- (\S+)/.exec(line)?.[1];
    if (address !== undefined) base = parseIpv4(address);
    const bits = /^\s*\/(\d+) \S+ (?:LOCAL|BROADCAST)/.exec(line)?.[1];
    if (bits === undefined || base === undefined) continue;
    const last = base + 2 ** (32 - Number(bits)) - 1;
    found.set(`${base}-${last}`, [base, last]);
  }
  return [...found.values()];
}
