/** Text of notes: from and to bytes, and its lines. */
import { notText } from './errors.ts';

/** A byte order mark stays: what is written back is what was read. */
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Undefined: not UTF-8. */
export function textOf(bytes: Buffer): string | undefined {
  try {
    return strict.decode(bytes);
  } catch {
    return undefined;
  }
}

/** @throws CoppiceError `vault_error` */
export function requireText(bytes: Buffer, path: string): string {
  const text = textOf(bytes);
  if (text === undefined) throw notText(path);
  return text;
}

/** How the lines of a text end, by its first one. */
export function lineEnding(text: string): '\n' | '\r\n' {
  const newline = text.indexOf('\n');
  return newline > 0 && text[newline - 1] === '\r' ? '\r\n' : '\n';
}

/** Without their ends; no empty one after the last end. */
export function linesOf(text: string): string[] {
  const lines = text.split(/\r?\n/);
  if (lines.at(-1) === '') lines.pop();
  return lines;
}
