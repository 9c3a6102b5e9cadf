/** The SQLite file: opening, settings, migrations, transactions. The only file that names node:sqlite. */
import { DatabaseSync } from 'node:sqlite';
import { CoppiceError } from '../../protocol/errors.ts';
import { migrations } from './migrations.ts';

export type Database = DatabaseSync;

/**
 * Opens the database and brings its schema up to date.
 * @throws CoppiceError `protocol_mismatch` when a newer Coppice has written it
 */
export function openDatabase(file: string): Database {
  const db = new DatabaseSync(file);
  // FULL: what a caller was told, and where a disk's newest bytes are, must survive the host's power.
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;');
  migrate(db);
  return db;
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
 * Runs `work` in one transaction; it is undone when `work` throws. On a full disk `work` may be run a second time.
 * @throws CoppiceError `no_space`
 */
export function transaction<T>(db: Database, work: () => T): T {
  try {
    return attempt(db, work);
  } catch (error) {
    if (!isDiskFull(error)) throw error;
  }
  try {
    // What the log takes beside the file is enough for the changes that free space.
    db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    return attempt(db, work);
  } catch (error) {
    if (!isDiskFull(error)) throw error;
    throw new CoppiceError(
      {
        code: 'no_space',
        message: 'The disk is full: the change could not be written down.',
        next: 'Free some space on the file system of the state directory (coppice status names it), then try again.',
      },
      { cause: error },
    );
  }
}

function attempt<T>(db: Database, work: () => T): T {
  db.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    db.exec('COMMIT');
    return result;
  } catch (error) {
    // Some errors have ended it already.
    if (db.isTransaction) db.exec('ROLLBACK');
    throw error;
  }
}

function isDiskFull(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === diskFull;
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
