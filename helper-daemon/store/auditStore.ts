/** Rows of the audit: what has begun, what became of it, and where the chain of hashes ends. */
import type { AuditOutcome } from '../../protocol/operations/audit.ts';
import { lightly, transaction, type Database } from './database.ts';

export interface AuditWorkspace {
  readonly id: string | null;
  readonly name: string | null;
}

export interface PendingRow {
  /** When it began. */
  readonly at: string;
  readonly uid: number;
  readonly agent: string | null;
  readonly client: string;
  readonly operation: string;
  readonly workspaces: readonly AuditWorkspace[];
  readonly target: string;
}

export interface AuditRow extends PendingRow {
  readonly seq: number;
  readonly outcome: AuditOutcome;
  readonly code: string | null;
  /** How often the same was denied within one short time. */
  readonly times: number;
  /** Null: it is not known when it ended. */
  readonly durationMs: number | null;
  readonly hash: string;
}

/** The last row of the chain. */
export interface AuditHead {
  readonly seq: number;
  readonly hash: string;
}

export interface AuditQuery {
  /** Rows after (oldest first) or before (newest first) this one; default: the newest first. */
  readonly afterSeq?: number | undefined;
  readonly beforeSeq?: number | undefined;
  readonly uid?: number | undefined;
  /** Id or name, whether the workspace still exists or not. */
  readonly workspace?: string | undefined;
  readonly agent?: string | undefined;
  readonly operation?: string | undefined;
  /** An outcome or an error code. */
  readonly outcome?: string | undefined;
  readonly limit: number;
}

export interface AuditStore {
  /**
   * Survives the end of this process, and a loss of power as soon as any full change follows.
   * @throws CoppiceError `no_space`
   */
  begin(row: PendingRow): number;
  /** Appends the rows in one transaction and takes their pending ones away. */
  append(rows: readonly AuditRow[], pending: readonly number[]): void;
  pending(): readonly { readonly id: number; readonly row: PendingRow }[];
  list(query: AuditQuery): readonly AuditRow[];
  /** As recorded beside the chain; undefined before the first row. */
  head(): AuditHead | undefined;
  /** Of the chain itself. */
  last(): AuditHead | undefined;
}

type Row = Readonly<Record<string, unknown>>;

const headKey = 'audit_head';
const pendingColumns = 'at, uid, agent, client, operation, workspaces, target';

export function auditStore(db: Database): AuditStore {
  const begin = db.prepare(
    `INSERT INTO audit_pending (${pendingColumns}) VALUES (?, ?, ?, ?, ?, ?, ?)`,
  );
  const append = db.prepare(
    `INSERT INTO audit (${pendingColumns}, seq, outcome, code, times, duration_ms, hash)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const name = db.prepare('INSERT OR IGNORE INTO audit_workspace (ref, seq) VALUES (?, ?)');
  const settle = db.prepare('DELETE FROM audit_pending WHERE id = ?');
  const pending = db.prepare('SELECT * FROM audit_pending ORDER BY id');
  const setHead = db.prepare('INSERT OR REPLACE INTO setting (key, value) VALUES (?, ?)');
  const getHead = db.prepare('SELECT value FROM setting WHERE key = ?');
  const last = db.prepare('SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1');

  return {
    begin: (row) =>
      lightly(db, () =>
        transaction(db, () => Number(begin.run(...pendingValues(row)).lastInsertRowid)),
      ),
    append(rows, done) {
      lightly(db, () => {
        transaction(db, () => {
          for (const row of rows) {
            const { seq, outcome, code, times, durationMs, hash } = row;
            append.run(...pendingValues(row), seq, outcome, code, times, durationMs, hash);
            for (const ref of row.workspaces.flatMap(({ id, name }) => [id, name])) {
              if (ref !== null) name.run(ref, seq);
            }
          }
          for (const id of done) settle.run(id);
          const newest = rows.at(-1);
          if (newest === undefined) return;
          setHead.run(headKey, JSON.stringify({ seq: newest.seq, hash: newest.hash }));
        });
      });
    },
    pending: () => pending.all().map((row) => ({ id: Number(row['id']), row: toPending(row) })),
    list(query) {
      const { sql, values } = selection(query);
      return db
        .prepare(sql)
        .all(...values)
        .map(toRow);
    },
    head() {
      const row = getHead.get(headKey);
      return row === undefined ? undefined : (JSON.parse(String(row['value'])) as AuditHead);
    },
    last() {
      const row = last.get();
      return row === undefined ? undefined : { seq: Number(row['seq']), hash: String(row['hash']) };
    },
  };
}

function selection(query: AuditQuery): { sql: string; values: (string | number)[] } {
  const conditions: string[] = [];
  const values: (string | number)[] = [];
  const where = (condition: string, ...more: (string | number)[]): void => {
    conditions.push(condition);
    values.push(...more);
  };
  const { afterSeq, beforeSeq, uid, workspace, agent, operation, outcome } = query;
  // Rows of a workspace come in their order out of its index: only those that are shown are read.
  const byWorkspace = workspace !== undefined;
  const table = byWorkspace
    ? 'audit_workspace AS named CROSS JOIN audit ON audit.seq = named.seq'
    : 'audit';
  const seq = byWorkspace ? 'named.seq' : 'audit.seq';
  if (byWorkspace) where('named.ref = ?', workspace);
  if (afterSeq !== undefined) where(`${seq} > ?`, afterSeq);
  if (beforeSeq !== undefined) where(`${seq} < ?`, beforeSeq);
  if (uid !== undefined) where('uid = ?', uid);
  if (agent !== undefined) where('agent = ?', agent);
  if (operation !== undefined) where('operation = ?', operation);
  if (outcome === 'ok') where("outcome = 'ok'");
  // As the index for what is not as usual has it.
  else if (outcome !== undefined) {
    where("outcome <> 'ok' AND (outcome = ? OR code = ?)", outcome, outcome);
  }
  const filter = conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`;
  const order = afterSeq === undefined ? 'DESC' : 'ASC';
  values.push(query.limit);
  return { sql: `SELECT audit.* FROM ${table} ${filter} ORDER BY ${seq} ${order} LIMIT ?`, values };
}

function pendingValues(row: PendingRow): (string | number | null)[] {
  const { at, uid, agent, client, operation, workspaces, target } = row;
  return [at, uid, agent, client, operation, JSON.stringify(workspaces), target];
}

function toPending(row: Row): PendingRow {
  return {
    at: String(row['at']),
    uid: Number(row['uid']),
    agent: row['agent'] as string | null,
    client: String(row['client']),
    operation: String(row['operation']),
    workspaces: JSON.parse(String(row['workspaces'])) as AuditWorkspace[],
    target: String(row['target']),
  };
}

function toRow(row: Row): AuditRow {
  return {
    ...toPending(row),
    seq: Number(row['seq']),
    outcome: row['outcome'] as AuditRow['outcome'],
    code: row['code'] as string | null,
    times: Number(row['times']),
    durationMs: row['duration_ms'] === null ? null : Number(row['duration_ms']),
    hash: String(row['hash']),
  };
}
