/** What one machine may reach beyond the machines: its policy, decided packet by packet. */
import { parseIpv4 } from '../../../protocol/networkTarget.ts';
import {
  nameServicePorts,
  parsePolicy,
  privateRanges,
  type NetworkPolicy,
  type ParsedPolicy,
} from '../policy.ts';
import { createAdmissions, flowKey, portsInclude, type Ports } from './admissions.ts';
import type { HostAddresses } from './hostAddresses.ts';
import { ipProtocol } from './packet.ts';

/** The other end of a packet. */
export interface Remote {
  readonly protocol: number;
  readonly address: number;
  /** Undefined: ICMP. */
  readonly port: number | undefined;
}

export interface Reach {
  /** The policy from here on. With `forget` what names led to before is closed, with the connections that came of it. */
  update(policy: NetworkPolicy, options: { readonly forget: boolean }): void;
  /** `addresses` belong to names of the policy for `seconds`. That opens neither private ones nor this host. */
  admit(addresses: readonly string[], ports: readonly Ports[], seconds: number, now: number): void;
  /**
   * Why a packet may not go there; undefined: it may. `opens`: it would begin a connection. `now` in monotonic
   * milliseconds.
   */
  refusal(remote: Remote, opens: boolean, now: number): string | undefined;
  /** Whether a packet from there answers what may go there. */
  mayAnswer(remote: Remote, now: number): boolean;
}

const reasons = {
  nameService: 'names are asked of the gateway only',
  host: 'an address of the host',
  private: 'a private address that no CIDR of the policy names',
  off: 'the policy allows no internet',
  list: 'not in the list of what the policy allows',
} as const;

/** How many decisions are remembered; a machine that scans does not make the table grow. */
const maxDecisions = 4096;

interface NumericCidr {
  readonly first: number;
  readonly last: number;
  readonly ports: Ports;
}

const privateSpans = privateRanges.map((text) => {
  const [address = '', bits = ''] = text.split('/');
  return span(address, Number(bits), undefined);
});

function span(address: string, prefixLength: number, ports: Ports): NumericCidr {
  const first = parseIpv4(address) ?? 0;
  return { first, last: first + 2 ** (32 - prefixLength) - 1, ports };
}

function within(address: number, { first, last }: NumericCidr): boolean {
  return address >= first && address <= last;
}

function isPrivateNumber(address: number): boolean {
  return privateSpans.some((range) => within(address, range));
}

/** Allowed, left to what names have admitted (the text: why not, if they have not), or refused. */
type Decision = 'allowed' | { readonly unlessAdmitted: string } | { readonly refused: string };

export function createReach(policy: NetworkPolicy, hostAddresses: HostAddresses): Reach {
  const admissions = createAdmissions();
  const decisions = new Map<number, Decision>();
  let decidedWith = -1;
  let parsed: ParsedPolicy = parsePolicy(policy);
  let cidrs = numericCidrs(parsed);
  let otherwise: string = reasonOf(policy);

  function decide({ protocol, address, port }: Remote, now: number): Decision {
    if (protocol !== ipProtocol.icmp && port !== undefined && nameServicePorts.includes(port)) {
      return { refused: reasons.nameService };
    }
    const named = cidrs.filter((cidr) => within(address, cidr) && portsInclude(cidr.ports, port));
    if (hostAddresses.has(address, now)) {
      return named.some(({ first, last }) => first === last)
        ? 'allowed'
        : { refused: reasons.host };
    }
    if (named.length > 0) return 'allowed';
    if (isPrivateNumber(address)) return { refused: reasons.private };
    if (parsed.publicPorts.some((ports) => portsInclude(ports, port))) return 'allowed';
    return parsed.domains.length > 0 ? { unlessAdmitted: otherwise } : { refused: otherwise };
  }

  function decision(remote: Remote, key: number, now: number): Decision {
    const revision = hostAddresses.revision(now);
    if (revision !== decidedWith || decisions.size > maxDecisions) {
      decisions.clear();
      decidedWith = revision;
    }
    let found = decisions.get(key);
    if (found === undefined) {
      found = decide(remote, now);
      decisions.set(key, found);
    }
    return found;
  }

  return {
    update(next, { forget }) {
      parsed = parsePolicy(next);
      cidrs = numericCidrs(parsed);
      otherwise = reasonOf(next);
      decisions.clear();
      if (forget) admissions.clear();
    },
    admit(addresses, ports, seconds, now) {
      for (const text of addresses) {
        const address = parseIpv4(text);
        if (address !== undefined) admissions.admit(address, ports, seconds, now);
      }
    },
    refusal(remote, opens, now) {
      const key = flowKey(remote.protocol, remote.address, remote.port ?? 0);
      const found = decision(remote, key, now);
      if (found === 'allowed') return undefined;
      if ('refused' in found) return found.refused;
      if (admissions.admits(remote.address, remote.port, now)) {
        admissions.opened(key, now);
        return undefined;
      }
      return !opens && admissions.goesOn(key, now) ? undefined : found.unlessAdmitted;
    },
    mayAnswer(remote, now) {
      const key = flowKey(remote.protocol, remote.address, remote.port ?? 0);
      const found = decision(remote, key, now);
      if (found === 'allowed') return true;
      if ('refused' in found) return false;
      return admissions.goesOn(key, now) || admissions.admits(remote.address, remote.port, now);
    },
  };
}

function numericCidrs(policy: ParsedPolicy): NumericCidr[] {
  return policy.cidrs.map(({ address, prefixLength, ports }) => span(address, prefixLength, ports));
}

function reasonOf(policy: NetworkPolicy): string {
  return policy.internet === 'off' ? reasons.off : reasons.list;
}
