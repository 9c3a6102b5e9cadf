/**
 * The journal of mutations: a row is written before the first resource is made and removed after the last
 * record is published. Whatever rows a starting daemon finds tell it what to undo or to finish.
 */
import type { Database } from './database.ts';

export type JournalKind =
  | 'create'
  | 'start'
  | 'stop'
  | 'destroy'
  | 'image'
  /** The head becomes a layer; detail: FreezeDetail. */
  | 'freeze'
  /** The head is replaced by one over a snapshot; detail: RestoreDetail. */
  | 'restore'
  /** Pausing, resuming, writing the memory to disk and reading it back. */
  | 'pause'
  | 'suspend'
  | 'resume'
  /** A layer is merged into the one above, or a head made independent of what is below; detail: FoldDetail. */
  | 'fold'
  | 'import'
  /** The repository of the subject gets the commits of others; detail: git/merge/merges.ts. */
  | 'merge';

export type JournalDetail = Readonly<Record<string, string>>;

export interface JournalEntry {
  readonly id: number;
  readonly kind: JournalKind;
  /** Id of the workspace, or name of the image's temporary directory. */
  readonly subject: string;
  /** Locators and ids of what was about to be made. */
  readonly detail: JournalDetail;
  readonly startedAt: string;
}

export interface Journal {
  begin(kind: JournalKind, subject: string, detail?: JournalDetail): number;
  end(id: number): void;
  open(): JournalEntry[];
}

export function journal(db: Database, now: () => Date = () => new Date()): Journal {
  const begin = db.prepare(
    'INSERT INTO journal (kind, subject, detail, started_at) VALUES (?, ?, ?, ?)',
  );
  const end = db.prepare('DELETE FROM journal WHERE id = ?');
  const open = db.prepare('SELECT * FROM journal ORDER BY id');
  return {
    begin: (kind, subject, detail = {}) =>
      Number(begin.run(kind, subject, JSON.stringify(detail), now().toISOString()).lastInsertRowid),
    end(id) {
      end.run(id);
    },
    open: () =>
      open.all().map((row) => ({
        id: Number(row['id']),
        kind: row['kind'] as JournalKind,
        subject: String(row['subject']),
        detail: JSON.parse(String(row['detail'])) as JournalDetail,
        startedAt: String(row['started_at']),
      })),
  };
}
