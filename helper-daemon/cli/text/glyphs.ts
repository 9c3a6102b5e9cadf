/** What trees are drawn with. */

export interface Glyphs {
  readonly start: string;
  readonly node: string;
  readonly current: string;
  readonly fork: string;
  readonly branch: string;
  readonly lastBranch: string;
  readonly rail: string;
  readonly noRail: string;
  readonly ellipsis: string;
}

export const unicodeGlyphs: Glyphs = {
  start: '◇',
  node: '○',
  current: '●',
  fork: '→',
  branch: '├─',
  lastBranch: '└─',
  rail: '│ ',
  noRail: '  ',
  ellipsis: '…',
};

export const asciiGlyphs: Glyphs = {
  start: '+',
  node: 'o',
  current: '*',
  fork: '->',
  branch: '|-',
  lastBranch: '`-',
  rail: '| ',
  noRail: '  ',
  ellipsis: '...',
};

/** Box characters only where the locale says that they can be shown. */
export function glyphsFor(env: Readonly<Record<string, string | undefined>>): Glyphs {
  const locale = [env['LC_ALL'], env['LC_CTYPE'], env['LANG']].find(
    (value) => value !== undefined && value !== '',
  );
  return /utf-?8/i.test(locale ?? '') ? unicodeGlyphs : asciiGlyphs;
}
