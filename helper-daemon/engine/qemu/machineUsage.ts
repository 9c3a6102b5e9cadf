/** What a process takes of the host, by its own account in /proc. */
import fsp from 'node:fs/promises';
import type { MachineIdentity, MachineUsage } from '../machine.ts';
import { readProcessStat } from '../processIdentity.ts';

/** All zero once it is gone. */
export async function usageOf(identity: MachineIdentity): Promise<MachineUsage> {
  const stat = readProcessStat(identity.pid);
  if (stat === undefined || stat.startTime !== identity.startTime) {
    return { rssBytes: 0, privateBytes: 0, proportionalBytes: 0, cpuMs: 0 };
  }
  const directory = `/proc/${String(identity.pid)}`;
  const [status, rollup] = await Promise.all([
    fsp.readFile(`${directory}/status`, 'utf8').catch(() => ''),
    fsp.readFile(`${directory}/smaps_rollup`, 'utf8').catch(() => ''),
  ]);
  return {
    rssBytes: kilobytes(status, 'VmRSS') * 1024,
    privateBytes: (kilobytes(rollup, 'Private_Clean') + kilobytes(rollup, 'Private_Dirty')) * 1024,
    proportionalBytes: kilobytes(rollup, 'Pss') * 1024,
    // USER_HZ is 100 on every Linux that Node runs on.
    cpuMs: stat.cpuTicks * 10,
  };
}

function kilobytes(text: string, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0);
}
