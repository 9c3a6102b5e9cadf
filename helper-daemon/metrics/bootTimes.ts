/** How long machines took to come up, seen in the changes of state that are published. */
import type { CoppiceEvent } from '../../protocol/events.ts';

export interface BootTimes {
  seen(event: CoppiceEvent): void;
}

export function bootTimes(
  tell: (seconds: number) => void,
  now: () => number = () => performance.now(),
): BootTimes {
  const began = new Map<string, number>();
  return {
    seen(event) {
      if (event.type === 'workspace_removed') began.delete(event.workspace_id);
      if (event.type !== 'workspace_changed') return;
      const { workspace_id: id, state } = event.workspace;
      if (state === 'creating' || state === 'starting') {
        if (!began.has(id)) began.set(id, now());
        return;
      }
      const since = began.get(id);
      began.delete(id);
      if (state === 'running' && since !== undefined) tell((now() - since) / 1000);
    },
  };
}
