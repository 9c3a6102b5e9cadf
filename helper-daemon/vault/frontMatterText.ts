/** Places in the text of front matter. */
import type { Node } from 'yaml';
import type { Yaml } from './yamlLibrary.ts';

/** Offset of the first character of the line. */
export function lineStart(block: string, offset: number): number {
  return block.lastIndexOf('\n', offset - 1) + 1;
}

/** Offset behind the last line of a value. Blank lines and comments that follow belong to nobody. */
export function endOfNode(yaml: Yaml, block: string, node: Node): number {
  let last = node;
  while (yaml.isCollection(last) && last.flow !== true) {
    const item: unknown = last.items.at(-1);
    const next: unknown = yaml.isPair(item) ? (item.value ?? item.key) : item;
    if (!yaml.isNode(next)) break;
    last = next;
  }
  let end = (last.range ?? node.range)?.[1] ?? 0;
  if (end === 0 || block[end - 1] !== '\n') {
    const newline = block.indexOf('\n', end);
    return newline < 0 ? block.length : newline + 1;
  }
  // A block of text ends behind the blank lines after it.
  for (;;) {
    const start = lineStart(block, end - 1);
    if (start === 0 || block.slice(start, end).trim() !== '') return end;
    end = start;
  }
}

/** Offset of the first line from here on that is not blank. */
export function afterBlankLines(block: string, offset: number): number {
  const blank = /(?:[ \t]*\r?\n)*/y;
  blank.lastIndex = offset;
  return offset + (blank.exec(block)?.[0].length ?? 0);
}

/** Text whose lines end with \n, with other ends. */
export function withLineEnds(text: string, eol: '\n' | '\r\n'): string {
  return eol === '\n' ? text : text.replaceAll('\n', eol);
}
