/** Tells from what is known at the end of a machine why it ended. */
import type { EndReason } from '../machine.ts';

export interface EndFacts {
  /** Set before the daemon, or a signal on the host, ends it. */
  killed?: string;
  /** Reason of the guest's own shutdown or reset. */
  guestLeft?: string;
  exit?: { readonly code: number | null; readonly signal: string | null };
  /** The process lived on but its control socket was dead. */
  unresponsive?: boolean;
}

/** A panic is the last thing a kernel says; nothing much can come after its trace. */
const panicWindow = 32 * 1024;

export function describeEnd(
  facts: EndFacts,
  consoleTail: string,
): { readonly reason: EndReason; readonly detail: string } {
  if (facts.guestLeft !== undefined) {
    const panic = panicLine(consoleTail);
    if (panic !== undefined) {
      return { reason: 'panic', detail: `The kernel of the machine panicked: ${panic}` };
    }
    if (facts.guestLeft === 'internal-error') {
      return { reason: 'crashed', detail: 'The accelerator could not run the machine any further' };
    }
    return { reason: 'shutdown', detail: 'The machine shut down' };
  }
  if (facts.killed !== undefined) return { reason: 'killed', detail: facts.killed };
  if (facts.unresponsive === true) {
    return {
      reason: 'crashed',
      detail: 'The monitor of the machine stopped answering and was ended',
    };
  }
  return { reason: 'crashed', detail: `The monitor of the machine ${exitText(facts.exit)}` };
}

function panicLine(consoleText: string): string | undefined {
  const start = consoleText.slice(-panicWindow);
  const line = /Kernel panic - not syncing: [^\r\n]*/.exec(start)?.[0];
  return line?.slice(0, 200);
}

function exitText(exit: EndFacts['exit']): string {
  if (exit === undefined) {
    return 'disappeared; another daemon started it, so its exit status is unknown';
  }
  if (exit.signal !== null) return `was ended by ${exit.signal}`;
  return `ended by itself with exit code ${String(exit.code)}`;
}
