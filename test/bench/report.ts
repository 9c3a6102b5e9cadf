/** The bench's result as a table for people and as JSON for comparisons over time. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { styleFor } from '../../helper-daemon/cli/text/style.ts';
import { renderTable } from '../../helper-daemon/cli/text/table.ts';
import { version } from '../../helper-daemon/system/version.ts';
import type { HostFacts } from './hostFacts.ts';
import { judge, type Comparison, type Measured, type Spread } from './samples.ts';

/** One group as it ended. */
export interface Section extends Measured {
  readonly name: string;
  /** Why it has no numbers. */
  readonly failure?: string;
}

export function reportTable(sections: readonly Section[]): string {
  const style = styleFor(process.stdout);
  const rows = sections.flatMap(({ name, comparisons }) => [
    [style.bold(name)],
    ...comparisons.map((comparison) => row(comparison, style)),
  ]);
  const table = renderTable(
    [
      { title: 'WHAT' },
      { title: 'BASELINE', align: 'right' },
      { title: 'OURS', align: 'right' },
      { title: 'UNIT' },
      { title: 'RATIO', align: 'right' },
      { title: 'PROMISE' },
      { title: '' },
      { title: 'BASELINE IS' },
    ],
    rows,
    style,
  );
  const remarks = sections.flatMap(({ name, notes = [], failure }) => [
    ...notes.map((note) => `${name}: ${note}`),
    ...(failure === undefined ? [] : [style.bad(`${name} failed: ${failure}`)]),
  ]);
  return [table, ...(remarks.length === 0 ? [] : ['', ...remarks])].join('\n');
}

function row(comparison: Comparison, style: ReturnType<typeof styleFor>): string[] {
  const { baseline, ours, ratio, kept } = judge(comparison);
  const mark =
    kept === undefined ? style.dim('-') : kept ? style.good('kept') : style.bad('MISSED');
  return [
    `  ${comparison.what}`,
    baseline === undefined ? '' : spread(baseline),
    spread(ours),
    comparison.unit,
    ratio === undefined ? '' : `${ratio.toFixed(2)} ×`,
    promiseText(comparison),
    mark,
    style.dim(comparison.baselineName),
  ];
}

function promiseText({ promise, unit }: Comparison): string {
  switch (promise.kind) {
    case 'ratio at most':
      return `≤ ${String(promise.limit)} ×`;
    case 'ratio at least':
      return `≥ ${String(promise.limit)} ×`;
    case 'at most':
      return `≤ ${String(promise.limit)} ${unit}`;
    case 'none':
      return '';
  }
}

function spread({ median, low, high }: Spread): string {
  return low === high ? number(median) : `${number(median)} (${number(low)}–${number(high)})`;
}

function number(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** @returns the file */
export function writeReport(
  directory: string,
  sections: readonly Section[],
  host: HostFacts,
  facts: Readonly<Record<string, unknown>>,
): string {
  mkdirSync(directory, { recursive: true });
  const now = new Date().toISOString();
  const file = path.join(directory, `${now.replaceAll(':', '-').slice(0, 19)}.json`);
  const report = {
    at: now,
    version,
    host,
    ...facts,
    sections: sections.map((section) => ({
      ...section,
      comparisons: section.comparisons.map((comparison) => ({
        ...comparison,
        verdict: judge(comparison),
      })),
    })),
  };
  writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`);
  return file;
}
