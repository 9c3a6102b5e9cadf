/** Text that came out of a machine must not be able to drive the reader's terminal. */

const control = /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/gu;

const controlButLines = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/gu;

function visible(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (code === 0x0a) return '\\n';
  if (code === 0x09) return '\\t';
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`;
}

/** One line: every control and text-direction character is shown as an escape. */
export function printable(text: string): string {
  return text.replace(control, visible);
}

/** Several lines: as `printable`, but newlines and tabs stay and a carriage return before them goes. */
export function printableLines(text: string): string {
  return text.replace(/\r+\n/g, '\n').replace(controlButLines, visible);
}
