/** Tables of the audit records; a part of a migration (store/migrations.ts). */
export const auditSchema = `
  -- What has begun and not ended; what a starting daemon finds here was interrupted.
  CREATE TABLE audit_pending (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    uid INTEGER NOT NULL,
    -- Null: a person.
    agent TEXT,
    client TEXT NOT NULL,
    operation TEXT NOT NULL,
    -- JSON array of {id, name}; either may be null.
    workspaces TEXT NOT NULL,
    target TEXT NOT NULL
  ) STRICT;

  -- What became of it. Each row's hash covers the row and the hash before it.
  CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    uid INTEGER NOT NULL,
    agent TEXT,
    client TEXT NOT NULL,
    operation TEXT NOT NULL,
    workspaces TEXT NOT NULL,
    target TEXT NOT NULL,
    outcome TEXT NOT NULL,
    -- Error code of what failed or was denied.
    code TEXT,
    -- How often the same was denied within one short time.
    times INTEGER NOT NULL,
    duration_ms REAL,
    hash TEXT NOT NULL
  ) STRICT;
  CREATE INDEX audit_uid ON audit(uid, seq);
  CREATE INDEX audit_unusual ON audit(seq, outcome, code) WHERE outcome <> 'ok';
  CREATE TRIGGER audit_kept BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'audit rows are never deleted'); END;
  -- Replacing is deleting without the trigger for it.
  CREATE TRIGGER audit_appended BEFORE INSERT ON audit
    WHEN NEW.seq <= (SELECT coalesce(max(seq), 0) FROM audit)
    BEGIN SELECT RAISE(ABORT, 'audit rows are only appended'); END;
  CREATE TRIGGER audit_unchanged BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'audit rows are never changed'); END;

  -- Rows by the ids and names of the workspaces in them; only an index.
  CREATE TABLE audit_workspace (
    ref TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (ref, seq)
  ) STRICT, WITHOUT ROWID;
`;
