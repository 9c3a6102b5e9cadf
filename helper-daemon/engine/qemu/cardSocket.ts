/**
 * The socket behind a network card. QEMU (seen with 7.2) opens it in a thread, and until that is done a packet of
 * the guest ends the whole process. A booting guest has none by then; one that continues from memory has.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { CoppiceError } from '../../../protocol/errors.ts';
import type { Qmp } from './qmp.ts';

/** A thread of the monitor needs a moment to begin. */
const patienceMs = 5_000;

/** @throws CoppiceError `internal` when the socket cannot be opened */
export async function untilCardListens(qmp: Qmp): Promise<void> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const text = String(
      await qmp.execute('human-monitor-command', { 'command-line': 'info network' }),
    );
    if (!text.includes('type=stream,initializing')) {
      const problem = /type=stream,error: (.*)/.exec(text)?.[1];
      if (problem === undefined) return;
      throw failed(problem.trim().slice(0, 300));
    }
    if (performance.now() > deadline) throw failed('it is not open yet');
    await delay(1);
  }
}

function failed(why: string): CoppiceError {
  return new CoppiceError({
    code: 'internal',
    message: `The socket of the machine's network card does not work: ${why}.`,
  });
}
