/** What one machine tried and was denied: one entry for each thing and reason, the newest ones, for an hour. */
import { limits } from '../../protocol/limits.ts';
import type { Denial } from './network.ts';

export interface DenialLog {
  note(what: Omit<Denial, 'lastAt' | 'count'>): void;
  /** Most recent first. */
  list(): Denial[];
}

export const denialsKeptMs = 60 * 60 * 1000;

/** `now`: milliseconds since the epoch. */
export function denialLog(now: () => number = Date.now): DenialLog {
  // Maps keep the order of insertion: the first is the one that was denied longest ago.
  const entries = new Map<string, Denial>();
  return {
    note(what) {
      const { kind, destination, port, protocol, reason } = what;
      const key = [kind, destination, port ?? '', protocol, reason].join('\0');
      const count = (entries.get(key)?.count ?? 0) + 1;
      entries.delete(key);
      entries.set(key, { ...what, lastAt: now(), count });
      if (entries.size <= limits.denials.max) return;
      const [oldest] = entries.keys();
      if (oldest !== undefined) entries.delete(oldest);
    },
    list() {
      const since = now() - denialsKeptMs;
      for (const [key, { lastAt }] of entries) {
        if (lastAt >= since) break;
        entries.delete(key);
      }
      return [...entries.values()].reverse();
    },
  };
}
