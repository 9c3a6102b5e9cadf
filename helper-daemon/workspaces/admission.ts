/** Whether the host has room, asked before anything is made. */
import { readFile, statfs } from 'node:fs/promises';
import { CoppiceError } from '../../protocol/errors.ts';

/** Left for everything else on the host. */
const memoryReserveMb = 256;
const diskReserveMb = 256;

export async function availableMemoryMb(): Promise<number> {
  const text = await readFile('/proc/meminfo', 'utf8');
  const kib = /^MemAvailable:\s+(\d+) kB$/m.exec(text)?.[1];
  return kib === undefined ? Number.POSITIVE_INFINITY : Math.floor(Number(kib) / 1024);
}

export async function availableDiskBytes(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize;
}

/** @throws CoppiceError `no_memory` */
export async function requireMemory(wantedMb: number): Promise<void> {
  const available = await availableMemoryMb();
  if (wantedMb + memoryReserveMb <= available) return;
  throw new CoppiceError({
    code: 'no_memory',
    message: `The host has ${String(available)} MiB of memory available; a machine of ${String(wantedMb)} MiB would not fit beside what is running.`,
    next: 'Ask for less memory_mb, or stop a machine (coppice list, coppice stop).',
    details: { available_mb: available, wanted_mb: wantedMb },
  });
}

/** @throws CoppiceError `no_space` */
export async function requireDisk(directory: string, extraBytes = 0): Promise<void> {
  const availableMb = Math.floor((await availableDiskBytes(directory)) / 1024 ** 2);
  const neededMb = diskReserveMb + Math.ceil(extraBytes / 1024 ** 2);
  if (availableMb >= neededMb) return;
  throw new CoppiceError({
    code: 'no_space',
    message: `Only ${String(availableMb)} MiB are free below ${directory}; ${String(neededMb)} MiB are needed.`,
    next: 'Free some space, destroy machines you no longer need, or move COPPICE_HOME to a larger disk.',
    details: { available_mb: availableMb, needed_mb: neededMb },
  });
}
