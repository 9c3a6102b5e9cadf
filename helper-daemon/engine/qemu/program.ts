/** Finds the monitor's program and facts about the host it runs on. */
import fs from 'node:fs';
import fsp from 'node:fs/promises';
import path from 'node:path';
import { CoppiceError } from '../../../protocol/errors.ts';
import { tscKhzFrom } from './machineFacts.ts';

/** Resolved path of a program on PATH: what /proc/<pid>/exe will say. */
export function findProgram(name: string, searchPath = process.env['PATH'] ?? ''): string {
  const candidates = name.includes('/')
    ? [name]
    : searchPath
        .split(':')
        .filter((dir) => dir !== '')
        .map((dir) => path.join(dir, name));
  for (const candidate of candidates) {
    try {
      fs.accessSync(candidate, fs.constants.X_OK);
      if (fs.statSync(candidate).isFile()) return fs.realpathSync(candidate);
    } catch {
      // Not this one.
    }
  }
  throw new CoppiceError({
    code: 'prerequisite_missing',
    message: `The program ${name} is not installed or not on PATH; machines run in it.`,
    next: 'Run coppice doctor: it names the package to install.',
    details: { program: name },
  });
}

export async function readTscKhz(): Promise<number | undefined> {
  return tscKhzFrom(await fsp.readFile('/proc/cpuinfo', 'utf8').catch(() => ''));
}
