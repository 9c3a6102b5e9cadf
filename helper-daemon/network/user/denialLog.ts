/** What one machine tried to reach and was not allowed to: one entry per destination, the newest ones. */
import { limits } from '../../../protocol/limits.ts';
import { formatIpv4 } from '../../../protocol/networkTarget.ts';
import type { Denial } from '../network.ts';
import { ipProtocol } from './packet.ts';

export interface DenialLog {
  note(destination: number, port: number | undefined, protocol: number, reason: string): void;
  /** Most recent first. */
  list(): Denial[];
}

export const keptMs = 60 * 60 * 1000;

const protocolNames = new Map<number, string>([
  [ipProtocol.icmp, 'icmp'],
  [ipProtocol.tcp, 'tcp'],
  [ipProtocol.udp, 'udp'],
]);

interface Entry {
  readonly destination: number;
  readonly port: number | undefined;
  readonly protocol: number;
  reason: string;
  count: number;
  lastAt: number;
}

/** `now`: milliseconds since the epoch. */
export function createDenialLog(now: () => number = Date.now): DenialLog {
  /** In the order of their last packet. */
  const entries = new Map<string, Entry>();
  return {
    note(destination, port, protocol, reason) {
      const key = `${destination} ${port ?? ''} ${protocol}`;
      const entry = entries.get(key) ?? {
        destination,
        port,
        protocol,
        reason,
        count: 0,
        lastAt: 0,
      };
      entry.count += 1;
      entry.lastAt = now();
      entry.reason = reason;
      entries.delete(key);
      entries.set(key, entry);
      if (entries.size > limits.denials.max) {
        const [oldest] = entries.keys();
        if (oldest !== undefined) entries.delete(oldest);
      }
    },
    list() {
      const since = now() - keptMs;
      for (const [key, { lastAt }] of entries) {
        if (lastAt >= since) break;
        entries.delete(key);
      }
      return [...entries.values()].reverse().map((entry) => ({
        lastAt: entry.lastAt,
        kind: 'connection' as const,
        destination: formatIpv4(entry.destination),
        port: entry.port,
        protocol: protocolNames.get(entry.protocol) ?? String(entry.protocol),
        count: entry.count,
        reason: entry.reason,
      }));
    },
  };
}
