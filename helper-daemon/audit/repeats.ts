/** Counts what is said over and over, so that a caller who is refused in a loop cannot fill the disk. */

export interface Repeats<T> {
  add(key: string, what: T): void;
  /** Tells what is still being counted. */
  close(): void;
}

/** Keys counted at a time; the oldest is told before there are more. */
const keyLimit = 256;

/** The first of its key is told at once; those that follow within the window together, when it ends. */
export function repeats<T>(
  tell: (what: T, times: number) => void,
  { windowMs }: { readonly windowMs: number },
): Repeats<T> {
  const open = new Map<string, { first: T | undefined; times: number; timer: NodeJS.Timeout }>();

  function end(key: string): void {
    const counted = open.get(key);
    if (counted === undefined) return;
    open.delete(key);
    clearTimeout(counted.timer);
    if (counted.first !== undefined) tell(counted.first, counted.times);
  }

  return {
    add(key, what) {
      const counted = open.get(key);
      if (counted !== undefined) {
        counted.first ??= what;
        counted.times += 1;
        return;
      }
      const [oldest] = open.keys();
      if (open.size >= keyLimit && oldest !== undefined) end(oldest);
      const timer = setTimeout(() => end(key), windowMs).unref();
      open.set(key, { first: undefined, times: 0, timer });
      tell(what, 1);
    },
    close() {
      for (const key of [...open.keys()]) end(key);
    },
  };
}
