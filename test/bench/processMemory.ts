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

/**
 * Private memory that holds code which QEMU translated itself: only under TCG, and nothing a machine could
 * share.
 */
export function translatedOf(pid: number): number {
  let kib = 0;
  let counts = false;
  for (const line of readFileSync(`/proc/${String(pid)}/smaps`, 'utf8').split('\n')) {
    if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) counts = /^\S+ rwxp \S+ \S+ 0\s*$/.test(line);
    else if (counts) kib += Number(/^Private_(?:Clean|Dirty):\s+(\d+) kB/.exec(line)?.[1] ?? 0);
  }
  return kib / 1024;
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
