/** Events with cursors: a bounded backlog that lets a client that reconnects catch up. */
import { randomUUID } from 'node:crypto';
import type { CoppiceEvent, EventEnvelope, SubscribeResult } from '../../protocol/events.ts';
import { limits } from '../../protocol/limits.ts';

export interface EventLog {
  publish(event: CoppiceEvent): void;
  /** Delivers what was missed since `cursor`, then everything from now on. */
  subscribe(
    deliver: (event: EventEnvelope) => void,
    cursor: string | undefined,
  ): SubscribeResult & { readonly unsubscribe: () => void };
}

export function eventLog(now: () => Date = () => new Date()): EventLog {
  const instance = randomUUID().slice(0, 8);
  const backlog: EventEnvelope[] = [];
  const listeners = new Set<(event: EventEnvelope) => void>();
  let last = 0;
  const cursorAt = (sequence: number): string => `${instance}:${String(sequence)}`;

  return {
    publish(event) {
      const envelope = { cursor: cursorAt(++last), at: now().toISOString(), event };
      backlog.push(envelope);
      if (backlog.length > limits.eventBacklog) backlog.shift();
      for (const deliver of listeners) deliver(envelope);
    },
    subscribe(deliver, cursor) {
      const missed = since(cursor);
      listeners.add(deliver);
      for (const envelope of missed ?? []) deliver(envelope);
      return {
        cursor: cursorAt(last),
        reset: missed === undefined,
        unsubscribe: () => listeners.delete(deliver),
      };
    },
  };

  /** Undefined when the backlog no longer reaches back to the cursor. */
  function since(cursor: string | undefined): EventEnvelope[] | undefined {
    if (cursor === undefined) return [];
    const [from, text] = cursor.split(':');
    const sequence = Number(text);
    const oldest = last - backlog.length;
    if (from !== instance || !Number.isSafeInteger(sequence)) return undefined;
    if (sequence < oldest || sequence > last) return undefined;
    return backlog.slice(sequence - oldest);
  }
}
