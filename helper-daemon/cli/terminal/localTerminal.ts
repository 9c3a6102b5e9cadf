/** The terminal this program runs in: raw while a session has it, always given back. */
import type { TerminalSize } from '../../../protocol/operations/process.ts';
import { UsageError } from '../failure.ts';

export interface LocalTerminal {
  size(): TerminalSize;
  onResize(listener: () => void): () => void;
  /** Raw mode until the returned function is called, or this process exits. */
  enterRaw(): Promise<() => void>;
}

/** @throws UsageError when stdout is no terminal */
export function localTerminal(): LocalTerminal {
  if (!process.stdout.isTTY) {
    throw new UsageError(
      'Standard output is not a terminal.',
      'Leave -t away, or run a command without one: coppice exec <workspace> -- <command>',
    );
  }
  return {
    size: () => ({
      columns: Math.max(1, process.stdout.columns || 80),
      rows: Math.max(1, process.stdout.rows || 24),
    }),
    onResize(listener) {
      process.stdout.on('resize', listener);
      return () => process.stdout.off('resize', listener);
    },
    async enterRaw() {
      const { stdin } = process;
      if (!stdin.isTTY) return () => undefined;
      stdin.setRawMode(true);
      const restore = (): void => {
        process.off('exit', restore);
        stdin.setRawMode(false);
      };
      process.on('exit', restore);
      await passOutputUnchanged();
      return restore;
    },
  };
}

/** What programs in the machine must know of this terminal. */
export function terminalEnv(): Record<string, string> {
  const env: Record<string, string> = { TERM: process.env['TERM'] ?? 'xterm-256color' };
  const colour = process.env['COLORTERM'];
  if (colour !== undefined && colour !== '') env['COLORTERM'] = colour;
  return env;
}

/**
 * Node's raw mode still turns each newline into CR LF, which the machine's terminal has already done, or
 * must not be done under a full-screen program. Leaving raw mode sets this back with all the rest.
 */
async function passOutputUnchanged(): Promise<void> {
  const { run } = await import('../../system/run.ts');
  await run('stty', ['-F', `/proc/${String(process.pid)}/fd/0`, '-opost']).catch(() => undefined);
}
