/** Memory of processes, by their own account in /proc; MiB. */
import { readFileSync } from 'node:fs';

export function rssOf(pid: number): number {
  return fieldsOf(`/proc/${String(pid)}/status`, ['VmRSS']);
}

/** Its share of everything: private, plus each shared page divided by its users. */
export function pssOf(pid: number): number {
  return fieldsOf(rollup(pid), ['Pss']);
}

/** What nobody else shares. */
export function privateOf(pid: number): number {
  return fieldsOf(rollup(pid), ['Private_Clean', 'Private_Dirty']);
}

/** Of the whole host, what programs could still get. */
export function availableMemory(): number {
  return fieldsOf('/proc/meminfo', ['MemAvailable']);
}

function rollup(pid: number): string {
  return `/proc/${String(pid)}/smaps_rollup`;
}

function fieldsOf(file: string, fields: readonly string[]): number {
  const text = readFileSync(file, 'utf8');
  const kib = fields.map((field) =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? Number.NaN),
  );
  return kib.reduce((sum, value) => sum + value, 0) / 1024;
}
