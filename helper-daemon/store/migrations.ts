/** Schema changes in order; position + 1 is the schema's version. Never edit one that was released. */
export const migrations: readonly string[] = [
  `
  CREATE TABLE workspace (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    image_name TEXT NOT NULL,
    image_digest TEXT NOT NULL,
    vcpus INTEGER NOT NULL,
    memory_mb INTEGER NOT NULL,
    disk_gb INTEGER NOT NULL,
    init TEXT NOT NULL,
    ephemeral INTEGER NOT NULL,
    hostname TEXT NOT NULL,
    machine_id TEXT NOT NULL,
    generation INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    -- Host account its machine runs as; null in user mode.
    uid INTEGER UNIQUE,
    problem TEXT
  ) STRICT;

  -- The virtual machine of a workspace that has one; written before the process is started.
  CREATE TABLE machine_run (
    workspace_id TEXT PRIMARY KEY REFERENCES workspace(id) ON DELETE CASCADE,
    run_id TEXT NOT NULL UNIQUE,
    channel_key TEXT NOT NULL,
    transport TEXT NOT NULL,
    accelerator TEXT NOT NULL,
    started_at TEXT NOT NULL,
    pid INTEGER,
    start_time TEXT,
    executable TEXT
  ) STRICT;

  -- Files of the image directory; one stays as long as a name or a workspace needs it.
  CREATE TABLE image_file (
    digest TEXT PRIMARY KEY,
    size_bytes INTEGER NOT NULL,
    virtual_bytes INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE image (
    name TEXT PRIMARY KEY,
    digest TEXT NOT NULL REFERENCES image_file(digest),
    created_at TEXT NOT NULL,
    provenance TEXT NOT NULL
  ) STRICT;

  -- A row lives exactly as long as the mutation it names; what is found at start was interrupted.
  CREATE TABLE journal (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    started_at TEXT NOT NULL
  ) STRICT;
  `,
];
