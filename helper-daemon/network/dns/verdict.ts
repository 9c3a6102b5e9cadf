/** What a policy says of a name, before anybody is asked. */
import { formatIpv4, type PortRange } from '../../../protocol/networkTarget.ts';
import {
  domainMatches,
  inRange,
  isPrivate,
  parsePolicy,
  type NetworkPolicy,
  type ParsedPolicy,
} from '../policy.ts';

export type Verdict =
  | {
      readonly allowed: true;
      /**
       * Of the targets that name it: where its addresses are to be opened. Empty where only a wider target lets it
       * be resolved, which opens them by itself.
       */
      readonly ports: readonly (PortRange | undefined)[];
    }
  | { readonly allowed: false; readonly reason: string };

const parsed = new WeakMap<NetworkPolicy, ParsedPolicy>();

function parsedOnce(policy: NetworkPolicy): ParsedPolicy {
  let found = parsed.get(policy);
  if (found === undefined) {
    found = parsePolicy(policy);
    parsed.set(policy, found);
  }
  return found;
}

/** `name`: lower case, without a trailing dot, outside `.coppice`. */
export function verdictOn(policy: NetworkPolicy, name: string): Verdict {
  if (policy.internet === 'off') return { allowed: false, reason: 'internet is off' };
  if (policy.internet === 'full') return { allowed: true, ports: [] };
  const { domains, publicPorts } = parsedOnce(policy);
  const everyName = publicPorts.length > 0;
  // Who may ask for whose address this is could ask for every address.
  const matching = isReverse(name)
    ? []
    : domains.filter((target) => domainMatches(target, name)).map(({ ports }) => ports);
  if (!everyName && matching.length === 0) {
    return { allowed: false, reason: 'not in the allow-list' };
  }
  return { allowed: true, ports: matching };
}

/** Whether an address that a name resolved to may be told: it is public, or a CIDR of the policy names it. */
export function mayBeTold(policy: NetworkPolicy, address: string): boolean {
  return !isPrivate(address) || parsedOnce(policy).cidrs.some((range) => inRange(address, range));
}

function isReverse(name: string): boolean {
  return /(^|\.)(in-addr|ip6)\.arpa$/.test(name);
}

/** Names of addresses that are nobody's on the internet: the host's own networks have them, machines do not. */
export function isPrivateReverse(name: string): boolean {
  // Loopback and unspecified, unique local, link-local, multicast.
  if (/(^|\.)(0\.0|[cd]\.f|[89ab]\.e\.f|f\.f)\.ip6\.arpa$/.test(name)) return true;
  const labels = /^((?:\d{1,3}\.){1,4})in-addr\.arpa$/.exec(name)?.[1]?.split('.').slice(0, -1);
  if (labels === undefined) return false;
  const bytes = labels.map(Number).reverse();
  const value = bytes.reduce((sum, byte, index) => sum + byte * 2 ** (24 - 8 * index), 0);
  return isPrivate(formatIpv4(value));
}
