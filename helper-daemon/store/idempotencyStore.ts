/** Rows of calls that carried an idempotency key. */
import type { Database } from './database.ts';

export interface KeyedCall {
  readonly operation: string;
  readonly inputSha256: string;
  /** JSON text; null: it never ended as far as anybody knows. */
  readonly outcome: string | null;
}

export interface IdempotencyStore {
  find(caller: string, key: string): KeyedCall | undefined;
  insert(caller: string, key: string, call: KeyedCall, startedAt: string): void;
  setOutcome(caller: string, key: string, outcome: string): void;
  remove(caller: string, key: string): void;
  /** Forgets what began before, and the oldest where outcomes take more than `bytes` together. */
  prune(before: string, bytes: number): void;
}

export function idempotencyStore(db: Database): IdempotencyStore {
  const find = db.prepare('SELECT * FROM idempotency WHERE caller = ? AND key = ?');
  const insert = db.prepare(
    `INSERT INTO idempotency (caller, key, operation, input_sha256, outcome, started_at)
       VALUES (?, ?, ?, ?, ?, ?)`,
  );
  const setOutcome = db.prepare('UPDATE idempotency SET outcome = ? WHERE caller = ? AND key = ?');
  const remove = db.prepare('DELETE FROM idempotency WHERE caller = ? AND key = ?');
  const prune = db.prepare(
    `DELETE FROM idempotency WHERE started_at < ? OR rowid IN (
       SELECT rowid FROM (
         SELECT rowid, sum(256 + coalesce(length(outcome), 0))
           OVER (ORDER BY started_at DESC, rowid DESC) AS total
         FROM idempotency
       ) WHERE total > ?
     )`,
  );
  return {
    find(caller, key) {
      const row = find.get(caller, key);
      if (row === undefined) return undefined;
      return {
        operation: String(row['operation']),
        inputSha256: String(row['input_sha256']),
        outcome: row['outcome'] === null ? null : String(row['outcome']),
      };
    },
    insert(caller, key, call, startedAt) {
      insert.run(caller, key, call.operation, call.inputSha256, call.outcome, startedAt);
    },
    setOutcome(caller, key, outcome) {
      setOutcome.run(outcome, caller, key);
    },
    remove(caller, key) {
      remove.run(caller, key);
    },
    prune(before, bytes) {
      prune.run(before, bytes);
    },
  };
}
