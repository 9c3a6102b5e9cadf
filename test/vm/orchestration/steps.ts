/** What tests of prepared machines and swarms say again and again. */
import { setTimeout as delay } from 'node:timers/promises';

/** The smallest machine that is comfortable. */
export const small = { vcpus: 1, memory_mb: 256 } as const;

/** Waits until something has become true; the test's own time limit ends it. */
export async function until(is: () => Promise<boolean>): Promise<void> {
  while (!(await is())) await delay(50);
}
