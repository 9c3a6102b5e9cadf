/** The daemon's log: JSON lines in one file, cut at start so that it never grows without limit. */
import { renameSync, statSync } from 'node:fs';
import { pino, type Logger } from 'pino';

export type Log = Logger;

const rotateAbove = 8 * 1024 * 1024;

export function openLog(file: string): Log {
  try {
    if (statSync(file).size > rotateAbove) renameSync(file, `${file}.1`);
  } catch {
    // There is no log yet.
  }
  const level = process.env['COPPICE_LOG_LEVEL'] ?? 'info';
  return pino({ level, base: null }, pino.destination({ dest: file, sync: true, mode: 0o600 }));
}
