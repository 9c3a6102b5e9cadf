/** Names that machines asked for and were refused. */
import { limits } from '../../../protocol/limits.ts';
import type { Denial } from '../network.ts';

const keptMs = 3_600_000;

export interface DenialLog {
  note(workspaceId: string, name: string, reason: string): void;
  /** Of the last hour, most recent first. */
  of(workspaceId: string): Denial[];
  forget(workspaceId: string): void;
}

/** `now`: milliseconds since the epoch. */
export function createDenialLog(now: () => number): DenialLog {
  const logs = new Map<string, Map<string, Denial>>();
  return {
    note(workspaceId, name, reason) {
      const log = logs.get(workspaceId) ?? new Map<string, Denial>();
      logs.set(workspaceId, log);
      const key = `${reason}\0${name}`;
      const count = (log.get(key)?.count ?? 0) + 1;
      // Maps keep the order of insertion: the first is the one that was refused longest ago.
      log.delete(key);
      log.set(key, {
        lastAt: now(),
        kind: 'name',
        destination: name,
        port: undefined,
        protocol: 'dns',
        count,
        reason,
      });
      const [oldest] = log.keys();
      if (log.size > limits.denials.max && oldest !== undefined) log.delete(oldest);
    },
    of(workspaceId) {
      const log = logs.get(workspaceId);
      if (log === undefined) return [];
      const since = now() - keptMs;
      for (const [key, denial] of log) if (denial.lastAt < since) log.delete(key);
      return [...log.values()].reverse();
    },
    forget(workspaceId) {
      logs.delete(workspaceId);
    },
  };
}
