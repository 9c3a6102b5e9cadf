/** Whether the host has room, asked before anything is made. */
import { readFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { CoppiceError } from '../../protocol/errors.ts';
import type { WorkspaceServices } from './services.ts';

/** Left for everything else on the host. */
const memoryReserveMb = 256;
const diskReserveMb = 256;

export function availableMemoryMb(): number {
  const text = readFileSync('/proc/meminfo', 'utf8');
  const kib = /^MemAvailable:\s+(\d+) kB$/m.exec(text)?.[1];
  return kib === undefined ? Number.POSITIVE_INFINITY : Math.floor(Number(kib) / 1024);
}

export async function availableDiskBytes(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize;
}

/**
 * Whether a machine of `wantedMb` would fit beside what runs, each grown to all it was promised: memory that a
 * guest has not touched yet counts as taken. Call it again, without waiting in between, where the machine is
 * recorded.
 * @throws CoppiceError `no_memory`
 */
export function requireMemory(
  services: Pick<WorkspaceServices, 'runs' | 'memoryOvercommit'>,
  wantedMb: number,
): void {
  const available = availableMemoryMb();
  const promised = services.runs
    .promises()
    .reduce((sum, { memoryMb, pid }) => sum + Math.max(0, memoryMb - touchedMb(pid)), 0);
  const free = Math.floor(available * services.memoryOvercommit) - promised;
  if (wantedMb + memoryReserveMb <= free) return;
  throw new CoppiceError({
    code: 'no_memory',
    message: `The host has ${String(available)} MiB of memory available, of which ${String(promised)} MiB are promised to machines that run; a machine of ${String(wantedMb)} MiB would not fit beside them.`,
    next: 'Ask for less memory_mb, stop a machine (coppice list, coppice stop), or allow more to be promised than there is (resources.memory_overcommit in the configuration).',
    details: { available_mb: available, promised_mb: promised, wanted_mb: wantedMb },
  });
}

/** Memory of its own that a machine has taken; what copies share with others is not. */
function touchedMb(pid: number | null): number {
  if (pid === null) return 0;
  try {
    const kib = /^RssAnon:\s+(\d+) kB$/m.exec(
      readFileSync(`/proc/${String(pid)}/status`, 'utf8'),
    )?.[1];
    return Math.floor(Number(kib ?? 0) / 1024);
  } catch {
    return 0;
  }
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
