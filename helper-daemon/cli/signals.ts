/** Ctrl-C and kill: the first asks for an orderly end, the second ends at once. */
import { exitCodes } from './exitCodes.ts';

export type EndSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP';
export const signalNumbers = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

export interface Signals {
  /** Aborted by the first signal that nobody took. */
  readonly aborted: AbortSignal;
  /** Hands signals to `handler` until the returned function is called. */
  take(handler: (name: EndSignal) => void): () => void;
}

/** @param exit ends the process at once: for the second signal */
export function listenForSignals(exit: (code: number) => void): Signals {
  const controller = new AbortController();
  let taken: ((name: EndSignal) => void) | undefined;
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      if (taken !== undefined) taken(name);
      else if (controller.signal.aborted) exit(exitCodes.signalBase + signalNumbers[name]);
      else controller.abort(name);
    });
  }
  return {
    aborted: controller.signal,
    take(handler) {
      const before = taken;
      taken = handler;
      return () => {
        taken = before;
      };
    },
  };
}
