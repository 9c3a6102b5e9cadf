/** Things that live as long as somebody uses them: MCP sessions, and the connections behind them. */

export interface Lease<T> {
  readonly value: T;
  /** The use is over. */
  release(): void;
}

export interface Sessions<T> {
  /** Undefined: there is none of this name. */
  use(key: string): Lease<T> | undefined;
  /** Undefined: there are as many as there may be. The new one is in use. */
  add(key: string, value: T): Lease<T> | undefined;
  remove(key: string): void;
  closeAll(): void;
}

interface Entry<T> {
  readonly value: T;
  uses: number;
  lastUse: number;
}

export interface SessionLimits {
  readonly most: number;
  /** Milliseconds without use after which one is closed. */
  readonly idle: number;
}

export function keepSessions<T>(limits: SessionLimits, close: (value: T) => void): Sessions<T> {
  const entries = new Map<string, Entry<T>>();

  function lease(entry: Entry<T>): Lease<T> {
    entry.uses += 1;
    let released = false;
    return {
      value: entry.value,
      release() {
        if (released) return;
        released = true;
        entry.uses -= 1;
        entry.lastUse = Date.now();
      },
    };
  }

  function remove(key: string): void {
    const entry = entries.get(key);
    if (entry === undefined) return;
    entries.delete(key);
    close(entry.value);
  }

  function expire(): void {
    const oldest = Date.now() - limits.idle;
    for (const [key, { uses, lastUse }] of entries) {
      if (uses === 0 && lastUse <= oldest) remove(key);
    }
  }

  const timer = setInterval(expire, Math.max(10, limits.idle / 4));
  timer.unref();

  return {
    use(key) {
      const entry = entries.get(key);
      return entry === undefined ? undefined : lease(entry);
    },
    add(key, value) {
      if (entries.size >= limits.most) return undefined;
      const entry = { value, uses: 0, lastUse: Date.now() };
      entries.set(key, entry);
      return lease(entry);
    },
    remove,
    closeAll() {
      clearInterval(timer);
      for (const key of [...entries.keys()]) remove(key);
    },
  };
}
