/** Aligned columns without frames: what grep, awk and eyes all read well. */
import { cut, displayWidth, type Style } from './style.ts';

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
}

const gap = '  ';

export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  style: Style,
  /** Columns of the terminal: the last column is cut to it. */
  terminalWidth?: number,
): string {
  const widths = columns.map((column, index) =>
    Math.max(displayWidth(column.title), ...rows.map((row) => displayWidth(row[index] ?? ''))),
  );
  const before = widths.slice(0, -1).reduce((sum, width) => sum + width + gap.length, 0);
  const lastRoom = terminalWidth === undefined ? Infinity : Math.max(10, terminalWidth - before);
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, index) => {
        const padding = ' '.repeat(Math.max(0, (widths[index] ?? 0) - displayWidth(cell)));
        if (columns[index]?.align === 'right') return padding + cell;
        return index === cells.length - 1 ? cut(cell, lastRoom) : cell + padding;
      })
      .join(gap)
      .trimEnd();
  const head = line(columns.map((column) => style.dim(column.title)));
  return [head, ...rows.map((row) => line(columns.map((_, index) => row[index] ?? '')))].join('\n');
}

/** Name and value per line; pairs without a value are left out. */
export function renderPairs(
  pairs: readonly (readonly [name: string, value: string | null | undefined])[],
  style: Style,
): string {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== '');
  const width = Math.max(0, ...shown.map(([name]) => displayWidth(name)));
  return shown
    .map(([name, value]) => `${style.dim(name.padEnd(width))}${gap}${value ?? ''}`)
    .join('\n');
}
