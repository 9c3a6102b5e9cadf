/** Mutual exclusion per key, in order of arrival; different keys never wait for each other. */
export interface KeyedLock {
  run<T>(key: string, work: () => Promise<T>): Promise<T>;
  /** Somebody waits for whoever has the key now. */
  contended(key: string): boolean;
}

export function keyedLock(): KeyedLock {
  const tails = new Map<string, Promise<unknown>>();
  const holders = new Map<string, number>();
  return {
    contended: (key) => (holders.get(key) ?? 0) > 1,
    async run(key, work) {
      holders.set(key, (holders.get(key) ?? 0) + 1);
      const before = tails.get(key) ?? Promise.resolve();
      const mine = before.then(work, work);
      const settled = mine.catch(() => undefined);
      tails.set(key, settled);
      try {
        return await mine;
      } finally {
        if (tails.get(key) === settled) tails.delete(key);
        const left = (holders.get(key) ?? 1) - 1;
        if (left === 0) holders.delete(key);
        else holders.set(key, left);
      }
    },
  };
}
