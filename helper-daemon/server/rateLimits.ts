/** How often a caller may call: one token bucket for each caller and category. */
import { CoppiceError } from '../../protocol/errors.ts';
import type { RateCategory } from '../../protocol/operation.ts';
import type { DaemonConfig } from '../system/config.ts';
import { callerKey, type Caller } from '../workspaces/callers.ts';

export interface RateLimits {
  /** @throws CoppiceError `rate_limited` with `retry_after_ms` */
  charge(caller: Caller, category: RateCategory, tokens?: number): void;
}

interface Bucket {
  tokens: number;
  at: number;
}

/** Buckets of callers that are full again say nothing and are dropped beyond this many. */
const keptBuckets = 4096;

/** @param now milliseconds, never going back */
export function rateLimits(
  settings: DaemonConfig['rateLimit'],
  now: () => number = () => performance.now(),
): RateLimits {
  const categories: Readonly<
    Record<RateCategory, { readonly burst: number; readonly perMinute: number }>
  > = {
    create: { burst: 3, perMinute: settings.createPerMinute },
    exec: { burst: 10, perMinute: settings.execPerMinute },
    team_message: { burst: 50, perMinute: settings.teamMessagePerMinute },
    // Everyday changes such as writing files: only a loop that has lost its way meets this one.
    default: { burst: 2 * settings.defaultPerMinute, perMinute: settings.defaultPerMinute },
  };
  const buckets = new Map<string, Bucket>();

  return {
    charge(caller, category, tokens = 1) {
      if (!settings.enabled || (caller.agent === null && !settings.people)) return;
      const { burst, perMinute } = categories[category];
      const name = `${category} ${callerKey(caller)}`;
      const at = now();
      const last = buckets.get(name) ?? { tokens: burst, at };
      const perMs = perMinute / 60_000;
      const available = Math.min(burst, last.tokens + (at - last.at) * perMs);
      // A call that costs more than a full bucket is let through by a full one, which then owes the rest.
      const needed = Math.min(tokens, burst);
      if (available < needed) {
        buckets.set(name, { tokens: available, at });
        throw limited(category, perMinute, (needed - available) / perMs);
      }
      buckets.delete(name);
      buckets.set(name, { tokens: available - tokens, at });
      if (buckets.size > keptBuckets) {
        const oldest = buckets.keys().next().value;
        if (oldest !== undefined) buckets.delete(oldest);
      }
    },
  };
}

function limited(category: RateCategory, perMinute: number, waitMs: number): CoppiceError {
  const wait = Number.isFinite(waitMs) ? Math.ceil(waitMs) : null;
  return new CoppiceError({
    code: 'rate_limited',
    message: `Rate limit exceeded for ${category} operations. Maximum ${String(perMinute)} calls per minute. Please wait and retry.`,
    ...(wait === null ? {} : { next: `Try again in ${String(Math.ceil(wait / 1000))} s.` }),
    details: { category, per_minute: perMinute, retry_after_ms: wait },
  });
}
