/** A lock per key that tells how many hold it and how many wait. */

interface Lock {
  run<T>(key: string, work: () => Promise<T>): Promise<T>;
}

export interface MeteredLock extends Lock {
  readonly counts: { readonly held: number; readonly waiting: number };
}

export function meteredLock(lock: Lock): MeteredLock {
  const counts = { held: 0, waiting: 0 };
  return {
    counts,
    async run(key, work) {
      counts.waiting += 1;
      return await lock.run(key, async () => {
        counts.waiting -= 1;
        counts.held += 1;
        try {
          return await work();
        } finally {
          counts.held -= 1;
        }
      });
    },
  };
}
