/** Who uses a workspace now, and since when nobody does. Held in memory: a daemon that starts counts anew. */
export interface Activity {
  /** Begins a use; call what it returns when the use is over. */
  begin(workspaceId: string): () => void;
  /** Milliseconds since the last use ended; 0 while there is one. */
  idleMs(workspaceId: string): number;
  forget(workspaceId: string): void;
}

interface Use {
  count: number;
  endedAt: number;
}

export function activity(): Activity {
  const uses = new Map<string, Use>();
  const of = (id: string): Use => {
    let use = uses.get(id);
    if (use === undefined) uses.set(id, (use = { count: 0, endedAt: performance.now() }));
    return use;
  };
  return {
    begin(id) {
      const use = of(id);
      use.count += 1;
      let over = false;
      return () => {
        if (over) return;
        over = true;
        use.count -= 1;
        use.endedAt = performance.now();
      };
    },
    idleMs(id) {
      const use = of(id);
      return use.count > 0 ? 0 : performance.now() - use.endedAt;
    },
    forget(id) {
      uses.delete(id);
    },
  };
}
