/** Lines of a note's body in which words have their meaning: without code. */

export interface ProseLine {
  /** 1-based, in the whole note. */
  readonly number: number;
  /** Spans of code are blank. */
  readonly text: string;
}

/** Longer lines are data, not prose, and would take too long to look through. */
const maxLine = 10_000;

/** The lines outside of fences. @param skipped lines of the note before the body */
export function proseLines(body: string, skipped: number): ProseLine[] {
  const lines: ProseLine[] = [];
  let fence: string | undefined;
  for (const [index, line] of body.split(/\r?\n/).entries()) {
    const mark = /^ {0,3}(`{3,}|~{3,})(.*)$/.exec(line);
    const [, run = '', rest = ''] = mark ?? [];
    if (fence !== undefined) {
      const closes = run.startsWith(fence) && rest.trim() === '';
      if (closes) fence = undefined;
    } else if (mark !== null && !(run.startsWith('`') && rest.includes('`'))) {
      fence = run;
    } else if (line.length <= maxLine) {
      lines.push({ number: skipped + index + 1, text: withoutCode(line) });
    }
  }
  return lines;
}

function withoutCode(line: string): string {
  if (!line.includes('`')) return line;
  return line.replace(/(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)/g, (span) => ' '.repeat(span.length));
}
