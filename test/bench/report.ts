/** The bench's result as a table for people and as JSON for comparisons over time. */
import { mkdirSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { styleFor } from '../../helper-daemon/cli/text/style.ts';
import { renderTable } from '../../helper-daemon/cli/text/table.ts';
import { version } from '../../helper-daemon/system/version.ts';
import { judge, type Comparison } from './samples.ts';

export function reportTable(comparisons: readonly Comparison[]): string {
  const style = styleFor(process.stdout);
  const rows = comparisons.map((comparison) => {
    const { baseline, ours, ratio, kept } = judge(comparison);
    const mark =
      kept === undefined ? style.dim('-') : kept ? style.good('kept') : style.bad('MISSED');
    return [
      comparison.what,
      baseline === undefined ? '' : `${number(baseline)} ${comparison.unit}`,
      `${number(ours)} ${comparison.unit}`,
      ratio === undefined ? '' : `${ratio.toFixed(2)} ×`,
      promiseText(comparison),
      mark,
      style.dim(comparison.baselineName),
    ];
  });
  return renderTable(
    [
      { title: 'WHAT' },
      { title: 'BASELINE', align: 'right' },
      { title: 'OURS', align: 'right' },
      { title: 'RATIO', align: 'right' },
      { title: 'PROMISE' },
      { title: '' },
      { title: 'BASELINE IS' },
    ],
    rows,
    style,
  );
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

function number(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** @returns the file */
export function writeReport(
  directory: string,
  comparisons: readonly Comparison[],
  facts: Readonly<Record<string, unknown>>,
): string {
  mkdirSync(directory, { recursive: true });
  const now = new Date().toISOString();
  const file = path.join(directory, `${now.replaceAll(':', '-').slice(0, 19)}.json`);
  const report = {
    at: now,
    version,
    host: {
      cpus: os.cpus().length,
      model: os.cpus()[0]?.model,
      memory_bytes: os.totalmem(),
      kernel: os.release(),
    },
    ...facts,
    results: comparisons.map((comparison) => ({
      ...comparison,
      ...{ verdict: judge(comparison) },
    })),
  };
  writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`);
  return file;
}
