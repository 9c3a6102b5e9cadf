/**
 * The journal of mutations: a row is written before the first resource is made and removed after the last
 * record is published. Whatever rows a starting daemon finds tell it what to undo or to finish.
 */
import type { Database } from './database.ts';

export type JournalKind = 'create' | 'start' | 'stop' | 'destroy' | 'image';

export interface JournalEntry {
  readonly id: number;
  readonly kind: JournalKind;
  /** Id of the workspace, or name of the image's temporary directory. */
  readonly subject: string;
  readonly startedAt: string;
}

export interface Journal {
  begin(kind: JournalKind, subject: string): number;
  end(id: number): void;
  open(): JournalEntry[];
}

export function journal(db: Database, now: () => Date = () => new Date()): Journal {
  const begin = db.prepare('INSERT INTO journal (kind, subject, started_at) VALUES (?, ?, ?)');
  const end = db.prepare('DELETE FROM journal WHERE id = ?');
  const open = db.prepare('SELECT * FROM journal ORDER BY id');
  return {
    begin: (kind, subject) => Number(begin.run(kind, subject, now().toISOString()).lastInsertRowid),
    end(id) {
      end.run(id);
    },
    open: () =>
      open.all().map((row) => ({
        id: Number(row['id']),
        kind: row['kind'] as JournalKind,
        subject: String(row['subject']),
        startedAt: String(row['started_at']),
      })),
  };
}
