/** Tables of the orchestration records; a part of a migration (store/migrations.ts). */
export const orchestrationSchema = `
  -- Machines that were prepared, or are being; written before the machine is made.
  CREATE TABLE prepared (
    id INTEGER PRIMARY KEY,
    owner TEXT NOT NULL,
    -- What was asked for, and what the machine is called: it may carry a suffix.
    name TEXT NOT NULL,
    workspace_name TEXT NOT NULL,
    -- Null until the machine is there.
    workspace_id TEXT UNIQUE REFERENCES workspace(id) ON DELETE CASCADE,
    -- preparing, ready, failed
    state TEXT NOT NULL,
    -- The machine was made for this and goes when it fails.
    fresh INTEGER NOT NULL,
    -- Of the inputs that the golden snapshot was made with.
    digest TEXT,
    snapshot_id TEXT,
    -- Name a snapshot has until it is the golden one.
    pending_snapshot TEXT NOT NULL,
    problem TEXT,
    started_at TEXT NOT NULL
  ) STRICT;

  CREATE TABLE swarm (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    state TEXT NOT NULL,
    golden_id TEXT NOT NULL,
    golden_name TEXT NOT NULL,
    snapshot_id TEXT NOT NULL,
    snapshot_name TEXT NOT NULL,
    -- JSON; variables and contexts may hold secrets and stay in memory.
    plan TEXT NOT NULL,
    cancelled INTEGER NOT NULL,
    merge TEXT,
    problem TEXT,
    started_at TEXT NOT NULL,
    ended_at TEXT
  ) STRICT;
  CREATE INDEX swarm_owner ON swarm(owner);

  -- A row and the worker's name are there before the worker is made.
  CREATE TABLE swarm_task (
    swarm_id TEXT NOT NULL REFERENCES swarm(id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    slug TEXT NOT NULL,
    worker_name TEXT NOT NULL,
    state TEXT NOT NULL,
    workspace_id TEXT,
    job_id INTEGER,
    exit_code INTEGER,
    timed_out INTEGER NOT NULL,
    error TEXT,
    artifacts TEXT NOT NULL,
    stdout_bytes INTEGER NOT NULL,
    stderr_bytes INTEGER NOT NULL,
    -- How far the offset in a stream is ahead of the size of its file, because of bytes that were lost.
    stdout_skew INTEGER NOT NULL,
    stderr_skew INTEGER NOT NULL,
    started_at TEXT,
    ended_at TEXT,
    worker_gone INTEGER NOT NULL,
    PRIMARY KEY (swarm_id, position)
  ) STRICT;
`;
