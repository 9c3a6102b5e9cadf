/**
 * Modes a program in the machine switches on in the reader's terminal: alternate screen, mouse, bracketed
 * paste, hidden cursor. When a session ends without the program tidying up, we do.
 */

/** DEC private modes that make a terminal unusable when they stay on. */
const watched: ReadonlySet<string> = new Set([
  '1',
  '47',
  '1000',
  '1002',
  '1003',
  '1004',
  '1005',
  '1006',
  '1015',
  '1047',
  '1049',
  '2004',
]);
const cursor = '25';
const longestSequence = 64;

export interface ModeTracker {
  see(data: Uint8Array): void;
  /** What to write to bring the terminal back. */
  undo(): string;
}

export function modeTracker(): ModeTracker {
  const on = new Set<string>();
  let cursorHidden = false;
  let carry = '';
  return {
    see(data) {
      const text = carry + Buffer.from(data).toString('latin1');

      for (const [, modes, action] of text.matchAll(/\u001b\[\?([\d;]{1,40})([hl])/g)) {
        for (const mode of (modes ?? '').split(';')) {
          if (mode === cursor) cursorHidden = action === 'l';
          else if (!watched.has(mode)) continue;
          else if (action === 'h') on.add(mode);
          else on.delete(mode);
        }
      }
      const escape = text.lastIndexOf('\u001b', text.length);
      const unfinished = escape !== -1 && text.length - escape < longestSequence;
      const rest = unfinished ? text.slice(escape) : '';
      carry = /[hl]/.test(rest) ? '' : rest;
    },
    undo() {
      const off = [...on].map((mode) => `\u001b[?${mode}l`).join('');
      const reset = on.size > 0 || cursorHidden ? '\u001b[?25h\u001b[0m' : '';
      return off + reset;
    },
  };
}
