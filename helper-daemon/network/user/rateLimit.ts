/** Token buckets without a timer: what has come in since is reckoned when somebody takes. */

export interface RateLimit {
  /** Whether there is enough for `amount` at `now` (monotonic milliseconds); then it is taken. */
  take(amount: number, now: number): boolean;
}

const unlimited: RateLimit = { take: () => true };

export function rateLimit(perSecond: number, burst: number): RateLimit {
  let tokens = burst;
  let at = Number.NEGATIVE_INFINITY;
  return {
    take(amount, now) {
      tokens = Math.min(burst, tokens + (Math.max(0, now - at) * perSecond) / 1000);
      at = now;
      if (tokens < amount) return false;
      tokens -= amount;
      return true;
    },
  };
}

/** Bytes at a rate in Mbit/s, with a burst of 100 ms of it, at least one large window. 0: no limit. */
export function bandwidthLimit(mbit: number): RateLimit {
  const perSecond = mbit * 125_000;
  return mbit === 0 ? unlimited : rateLimit(perSecond, Math.max(64 * 1024, perSecond / 10));
}
