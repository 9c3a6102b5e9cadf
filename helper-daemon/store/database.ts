/** The SQLite file: opening, settings, migrations, transactions. The only file that names node:sqlite. */
import { closeSync, fstatSync, openSync, writeSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { CoppiceError } from '../../protocol/errors.ts';
import { migrations } from './migrations.ts';

export type Database = DatabaseSync;

/** As long as SQLite lets it grow before it starts over: 1000 pages. */
const logBytes = 4 * 1024 ** 2 + 64 * 1024;

/**
 * Opens the database and brings its schema up to date.
 * @throws CoppiceError `protocol_mismatch` when a newer Coppice has written it
 */
export function openDatabase(file: string): Database {
  const db = new DatabaseSync(file);
  // FULL: what a caller was told, and where a disk's newest bytes are, must survive the host's power.
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;');
  migrate(db);
  reserveLog(file);
  return db;
}

/**
 * Takes the space of the log beforehand, so that on a full disk things can still be deleted and interrupted
 * changes be settled: SQLite writes the log over from its start and ignores what follows its last frame.
 */
function reserveLog(file: string): void {
  const log = openSync(`${file}-wal`, 'a');
  try {
    const missing = logBytes - fstatSync(log).size;
    if (missing > 0) writeSync(log, Buffer.alloc(missing));
  } catch {
    // A disk that is full already has none to give.
  } finally {
    closeSync(log);
  }
}

function migrate(db: Database): void {
  const row = db.prepare('PRAGMA user_version').get();
  const version = Number(row?.['user_version'] ?? 0);
  if (version > migrations.length) {
    db.close();
    throw new CoppiceError({
      code: 'protocol_mismatch',
      message: `The state directory was written by a newer Coppice (schema ${String(version)}, this one knows ${String(migrations.length)}).`,
      next: 'Update Coppice, or point COPPICE_HOME at another directory.',
    });
  }
  migrations.slice(version).forEach((sql, index) => {
    transaction(db, () => {
      db.exec(sql);
      db.exec(`PRAGMA user_version = ${String(version + index + 1)}`);
    });
  });
}

/** SQLite's code for a file system without room. */
const diskFull = 13;

/**
 * Runs `work` in one transaction; it is undone when `work` throws.
 * @throws CoppiceError `no_space`
 */
export function transaction<T>(db: Database, work: () => T): T {
  db.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    db.exec('COMMIT');
    return result;
  } catch (error) {
    // Some errors have ended it already.
    if (db.isTransaction) db.exec('ROLLBACK');
    throw isDiskFull(error) ? noSpace(error) : error;
  }
}

function isDiskFull(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === diskFull;
}

function noSpace(cause: unknown): CoppiceError {
  return new CoppiceError(
    {
      code: 'no_space',
      message: 'The disk is full: the change could not be written down.',
      next: 'Free some space on the file system of the state directory, then try again.',
    },
    { cause },
  );
}

/**
 * Runs changes that must survive the end of this process but not a loss of power: those that are undone or
 * meaningless after a reboot anyway. Saves a write to the disk of some milliseconds for each; the next full
 * change makes them durable too.
 */
export function lightly<T>(db: Database, work: () => T): T {
  db.exec('PRAGMA synchronous = NORMAL');
  try {
    return work();
  } finally {
    db.exec('PRAGMA synchronous = FULL');
  }
}
