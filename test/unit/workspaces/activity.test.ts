import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { activity } from '../../../helper-daemon/workspaces/activity.ts';

it('counts idle time from the end of the last use, of each workspace for itself', async () => {
  const uses = activity();
  const endFirst = uses.begin('a');
  const endSecond = uses.begin('a');
  await delay(20);
  expect(uses.idleMs('a')).toBe(0);
  endFirst();
  // Ending one twice must not end the other.
  endFirst();
  expect(uses.idleMs('a')).toBe(0);
  endSecond();
  uses.idleMs('b');
  await delay(20);
  expect(uses.idleMs('a')).toBeGreaterThanOrEqual(15);
  const endThird = uses.begin('b');
  expect(uses.idleMs('b')).toBe(0);
  endThird();
});
