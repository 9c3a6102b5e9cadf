/** Mutual exclusion per note, in order of arrival, for every view of the vault. */

export interface PathLocks {
  /** Several paths are taken in their order, so that two calls never wait for each other. */
  run<T>(paths: readonly string[], work: () => Promise<T>): Promise<T>;
  /** Resolves when nobody holds or waits for one. */
  settled(): Promise<void>;
}

export function pathLocks(): PathLocks {
  const tails = new Map<string, Promise<void>>();

  async function locked<T>(path: string, work: () => Promise<T>): Promise<T> {
    const before = tails.get(path);
    const { promise: mine, resolve: release } = Promise.withResolvers<undefined>();
    tails.set(path, mine);
    await before;
    try {
      return await work();
    } finally {
      if (tails.get(path) === mine) tails.delete(path);
      release(undefined);
    }
  }
  return {
    run(paths, work) {
      const ordered = [...new Set(paths)].sort();
      const nested = ordered.reduceRight<() => Promise<unknown>>(
        (inner, path) => () => locked(path, inner),
        work,
      );
      return nested() as ReturnType<typeof work>;
    },
    async settled() {
      while (tails.size > 0) await Promise.all(tails.values());
    },
  };
}
