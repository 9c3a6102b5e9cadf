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

/** Runs `work` in one transaction; it is undone when `work` throws. */
export function transaction<T>(db: Database, work: () => T): T {
  db.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    db.exec('COMMIT');
    return result;
  } catch (error) {
    db.exec('ROLLBACK');
    throw error;
  }
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
