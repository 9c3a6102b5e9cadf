/**
 * One daemon per state directory. The lock is SQLite's own exclusive file lock, held for the life of the
 * process: the kernel releases it however the process ends, and no native code is needed.
 */
import { DatabaseSync } from 'node:sqlite';
import { CoppiceError } from '../../protocol/errors.ts';

export interface StateLock {
  release(): void;
}

/** @throws CoppiceError `daemon_conflict` when another daemon holds it */
export function lockState(file: string): StateLock {
  const db = new DatabaseSync(file);
  try {
    db.exec('PRAGMA journal_mode = DELETE; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE;');
  } catch (error) {
    db.close();
    throw new CoppiceError(
      {
        code: 'daemon_conflict',
        message: 'Another Coppice daemon is using this state directory.',
        next: 'Use that one (coppice status), or set COPPICE_HOME to another directory.',
        details: { lock: file },
      },
      { cause: error },
    );
  }
  return { release: () => db.close() };
}
