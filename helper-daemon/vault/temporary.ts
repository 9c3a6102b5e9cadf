/** Names of files that are being written: known by their form, so that what a crash leaves can be found. */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';

const form = /^\.coppice-(\d+)-[0-9a-f]{16}\.tmp$/;
/** A file that another live process writes is finished or abandoned after this time. */
const abandonedMs = 10 * 60_000;

const inUse = new Set<string>();

export interface TemporaryName {
  readonly name: string;
  /** When the file is gone or has its real name. */
  release(): void;
}

export function takeTemporaryName(): TemporaryName {
  const name = `.coppice-${String(process.pid)}-${randomBytes(8).toString('hex')}.tmp`;
  inUse.add(name);
  return { name, release: () => inUse.delete(name) };
}

export function isTemporary(name: string): boolean {
  return form.test(name);
}

/** Whether nobody will finish this file; its writer may also be another daemon on the same directory. */
export function isLeftover(name: string, ageMs: number): boolean {
  const writer = form.exec(name)?.[1];
  if (writer === undefined || inUse.has(name)) return false;
  const elsewhere = Number(writer) !== process.pid && existsSync(`/proc/${writer}`);
  return !elsewhere || ageMs > abandonedMs;
}
