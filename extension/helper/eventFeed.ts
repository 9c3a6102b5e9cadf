/** Keeps the model in step with the daemon over any number of connections, without ever asking twice. */
import type { CoppiceClient } from '../../helper-daemon/client/client.ts';
import type { EventEnvelope } from '../../protocol/events.ts';
import type { WorkspaceModel } from './workspaceModel.ts';

export interface EventFeed {
  /** Subscribes from the last event seen; lists everything only when events were missed. */
  attach(client: CoppiceClient): Promise<void>;
  /** Forgets the position: the next daemon may be another one. */
  reset(): void;
}

export function eventFeed(model: WorkspaceModel): EventFeed {
  let cursor: string | undefined;

  return {
    async attach(client) {
      // Events that arrive while the list is on its way are newer than the list, or in it already.
      let waiting: EventEnvelope[] | undefined = [];
      const take = (envelope: EventEnvelope): void => {
        if (waiting !== undefined) {
          waiting.push(envelope);
          return;
        }
        cursor = envelope.cursor;
        model.apply(envelope.event);
      };
      const first = cursor === undefined;
      const subscription = await client.subscribe(take, cursor);
      if (first || subscription.reset) {
        model.replaceAll(await client.call('workspace_list', {}));
      }
      cursor = subscription.cursor;
      const arrived = waiting;
      waiting = undefined;
      arrived.forEach(take);
    },
    reset() {
      cursor = undefined;
    },
  };
}
