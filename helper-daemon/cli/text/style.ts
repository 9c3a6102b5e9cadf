/** Colour, only where it helps: on a terminal, and never against NO_COLOR. */
import { stripVTControlCharacters, styleText } from 'node:util';

export interface Style {
  bold(text: string): string;
  dim(text: string): string;
  good(text: string): string;
  warn(text: string): string;
  bad(text: string): string;
  accent(text: string): string;
}

type Format = Parameters<typeof styleText>[0];

/** @param stream decides: styleText looks at isTTY, NO_COLOR, NODE_DISABLE_COLORS and FORCE_COLOR */
export function styleFor(stream: NodeJS.WritableStream): Style {
  const apply =
    (format: Format) =>
    (text: string): string =>
      styleText(format, text, { stream });
  return {
    bold: apply('bold'),
    dim: apply('dim'),
    good: apply('green'),
    warn: apply('yellow'),
    bad: apply('red'),
    accent: apply('cyan'),
  };
}

export const plainStyle: Style = {
  bold: (text) => text,
  dim: (text) => text,
  good: (text) => text,
  warn: (text) => text,
  bad: (text) => text,
  accent: (text) => text,
};

const wide =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;

/** Columns a text takes on a terminal, styling excluded. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const character of stripVTControlCharacters(text)) {
    if (/\p{Mn}|\u200d|\ufe0f/u.test(character)) continue;
    width += wide.test(character) ? 2 : 1;
  }
  return width;
}

/** Styled text is left as it is: its escapes must not be cut apart. */
export function cut(text: string, width: number): string {
  if (displayWidth(text) <= width || stripVTControlCharacters(text) !== text) return text;
  const characters = Array.from(text);
  while (displayWidth(characters.join('')) > width - 1) characters.pop();
  return `${characters.join('')}…`;
}
