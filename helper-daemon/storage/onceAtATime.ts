/**
 * Work that must not run twice at once for the same key: whoever comes while it runs waits for that run.
 * One daemon owns the storage (it holds the lock of its state), so this process is all that matters.
 */
export function onceAtATime(): (key: string, work: () => Promise<void>) => Promise<void> {
  const running = new Map<string, Promise<void>>();
  return async (key, work) => {
    const other = running.get(key);
    if (other !== undefined) {
      await other;
      return;
    }
    const mine = work().finally(() => running.delete(key));
    running.set(key, mine);
    await mine;
  };
}
