/** Table of calls that carried an idempotency key; a part of a migration (store/migrations.ts). */
export const idempotencySchema = `
  CREATE TABLE idempotency (
    caller TEXT NOT NULL,
    key TEXT NOT NULL,
    operation TEXT NOT NULL,
    -- Of the input; another input under the same key is a mistake.
    input_sha256 TEXT NOT NULL,
    -- JSON: {result} or {error}; null while it runs, and for ever when the daemon died meanwhile.
    outcome TEXT,
    started_at TEXT NOT NULL,
    PRIMARY KEY (caller, key)
  ) STRICT;
  CREATE INDEX idempotency_started ON idempotency(started_at);
`;
