/** Addresses that a machine's names resolved to, and the flows it opened to them: both bounded. */
import type { PortRange } from '../../../protocol/networkTarget.ts';
import { ipProtocol } from './packet.ts';

export type Ports = PortRange | undefined;

export interface Admissions {
  /** `seconds` from `now` (monotonic milliseconds). */
  admit(address: number, ports: readonly Ports[], seconds: number, now: number): void;
  admits(address: number, port: number | undefined, now: number): boolean;
  /** Remembers that packets went there while it was admitted. */
  opened(flow: number, now: number): void;
  /** Whether such a flow goes on; then it does so from `now`. */
  goesOn(flow: number, now: number): boolean;
  clear(): void;
}

const maxAddresses = 4096;
const maxFlows = 4096;
/** TCP connections may be silent for long; UDP has no end but silence. */
const idleMs = { tcp: 2 * 60 * 60 * 1000, other: 3 * 60 * 1000 };
/** A flow's place in the order of use is renewed at most this often. */
const touchMs = 5000;

interface Admission {
  readonly ports: Ports;
  until: number;
}

/** Protocols that are passed on have numbers below 32, so that the key stays an exact number. */
export function flowKey(protocol: number, address: number, port: number): number {
  return (address * 0x1_0000 + port) * 32 + protocol;
}

export function portsInclude(ports: Ports, port: number | undefined): boolean {
  return ports === undefined || (port !== undefined && port >= ports[0] && port <= ports[1]);
}

export function createAdmissions(): Admissions {
  const admitted = new Map<number, Admission[]>();
  const flows = new Map<number, number>();

  function forgetOldest<V>(map: Map<number, V>, limit: number): void {
    if (map.size <= limit) return;
    const [oldest] = map.keys();
    if (oldest !== undefined) map.delete(oldest);
  }

  function opened(flow: number, now: number): void {
    const last = flows.get(flow);
    if (last !== undefined && now - last < touchMs) return;
    flows.delete(flow);
    flows.set(flow, now);
    forgetOldest(flows, maxFlows);
  }

  return {
    admit(address, ports, seconds, now) {
      const until = now + seconds * 1000;
      const kept = (admitted.get(address) ?? []).filter((admission) => admission.until > now);
      for (const range of ports) {
        const same = kept.find(
          (admission) => admission.ports?.[0] === range?.[0] && admission.ports?.[1] === range?.[1],
        );
        if (same === undefined) kept.push({ ports: range, until });
        else same.until = Math.max(same.until, until);
      }
      admitted.delete(address);
      admitted.set(address, kept);
      forgetOldest(admitted, maxAddresses);
    },
    admits(address, port, now) {
      const admissions = admitted.get(address);
      return (
        admissions?.some(({ ports, until }) => until > now && portsInclude(ports, port)) ?? false
      );
    },
    opened,
    goesOn(flow, now) {
      const last = flows.get(flow);
      if (last === undefined) return false;
      const idle = now - last;
      if (idle > (flow % 32 === ipProtocol.tcp ? idleMs.tcp : idleMs.other)) {
        flows.delete(flow);
        return false;
      }
      if (idle >= touchMs) opened(flow, now);
      return true;
    },
    clear() {
      admitted.clear();
      flows.clear();
    },
  };
}
