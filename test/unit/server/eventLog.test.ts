import { describe, expect, it } from 'vitest';
import type { EventEnvelope } from '../../../protocol/events.ts';
import { limits } from '../../../protocol/limits.ts';
import { eventLog } from '../../../helper-daemon/server/eventLog.ts';

const removed = (name: string) => ({ type: 'image_removed' as const, name });

describe('eventLog', () => {
  it('delivers what was missed since a cursor, once and in order', () => {
    const log = eventLog();
    const { cursor, unsubscribe } = log.subscribe(() => undefined, undefined);
    unsubscribe();
    log.publish(removed('a'));
    log.publish(removed('b'));
    const seen: EventEnvelope[] = [];
    const again = log.subscribe((event) => seen.push(event), cursor);
    log.publish(removed('c'));
    expect(again.reset).toBe(false);
    expect(seen.map(({ event }) => (event.type === 'image_removed' ? event.name : ''))).toEqual([
      'a',
      'b',
      'c',
    ]);
  });

  it('asks for a new look when the cursor is from another daemon or too old', () => {
    const log = eventLog();
    const { cursor } = log.subscribe(() => undefined, undefined);
    for (let i = 0; i <= limits.eventBacklog; i += 1) log.publish(removed(String(i)));
    expect(log.subscribe(() => undefined, cursor).reset).toBe(true);
    expect(log.subscribe(() => undefined, 'other:0').reset).toBe(true);
    expect(log.subscribe(() => undefined, 'nonsense').reset).toBe(true);
  });
});
