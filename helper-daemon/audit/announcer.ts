/** Tells of new rows at most once in a while: a busy daemon writes hundreds in a second. */

export interface Announcer {
  appended(seq: number): void;
  close(): void;
}

/** The first is told at once; while more come, the newest at the end of each interval. */
export function announcer(tell: (lastSeq: number) => void, intervalMs = 1000): Announcer {
  let waiting: number | undefined;
  let timer: NodeJS.Timeout | undefined;

  function pause(): void {
    timer = setTimeout(() => {
      timer = undefined;
      if (waiting === undefined) return;
      const seq = waiting;
      waiting = undefined;
      pause();
      tell(seq);
    }, intervalMs).unref();
  }

  return {
    appended(seq) {
      if (timer !== undefined) {
        waiting = seq;
        return;
      }
      pause();
      tell(seq);
    },
    close: () => clearTimeout(timer),
  };
}
