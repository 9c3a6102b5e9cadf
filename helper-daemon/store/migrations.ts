import { auditSchema } from './schema/audit.ts';
import { idempotencySchema } from './schema/idempotency.ts';
import { orchestrationSchema } from './schema/orchestration.ts';
import { teamSchema } from './schema/team.ts';
import { vaultSchema } from './schema/vault.ts';

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
  `
  -- 'user': what callers made and see; the others are made and removed by the daemon itself.
  ALTER TABLE workspace ADD COLUMN role TEXT NOT NULL DEFAULT 'user';
  ALTER TABLE workspace ADD COLUMN storage TEXT NOT NULL DEFAULT 'qcow2';
  -- Where the storage keeps its head, and the layer that stands on; null: on the image itself.
  ALTER TABLE workspace ADD COLUMN head TEXT NOT NULL DEFAULT '';
  ALTER TABLE workspace ADD COLUMN base_layer TEXT;
  -- Snapshot the present state grew from.
  ALTER TABLE workspace ADD COLUMN snapshot_id TEXT;
  ALTER TABLE workspace ADD COLUMN mac TEXT NOT NULL DEFAULT '';
  ALTER TABLE workspace ADD COLUMN address TEXT NOT NULL DEFAULT '';
  ALTER TABLE workspace ADD COLUMN forked_from TEXT;
  ALTER TABLE workspace ADD COLUMN idle_suspend_secs INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE workspace ADD COLUMN expires_at TEXT;
  -- Memory of a suspended workspace.
  ALTER TABLE workspace ADD COLUMN memory_id TEXT;
  UPDATE workspace SET head = 'workspaces/' || id || '/disks/head.qcow2',
    address = printf('10.42.%d.%d', rowid / 250, rowid % 250 + 2),
    mac = printf('02:c0:0a:2a:%02x:%02x', rowid / 250, rowid % 250 + 2);
  CREATE UNIQUE INDEX workspace_address ON workspace(address);

  -- Frozen disks. A layer stays while a snapshot, a head, a template or a layer above needs it.
  CREATE TABLE layer (
    id TEXT PRIMARY KEY,
    storage TEXT NOT NULL,
    locator TEXT NOT NULL,
    parent_id TEXT REFERENCES layer(id),
    image_digest TEXT NOT NULL,
    virtual_bytes INTEGER NOT NULL,
    -- Changes when anybody changes the layer; the digest is filled in later, in the background.
    stamp TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    sha256 TEXT,
    created_at TEXT NOT NULL
  ) STRICT;
  CREATE INDEX layer_parent ON layer(parent_id);

  -- Memory images in files.
  CREATE TABLE memory (
    id TEXT PRIMARY KEY,
    binding TEXT NOT NULL,
    channel_key TEXT NOT NULL,
    memory_mb INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    created_at TEXT NOT NULL
  ) STRICT;

  CREATE TABLE snapshot (
    id TEXT PRIMARY KEY,
    workspace_id TEXT NOT NULL REFERENCES workspace(id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    parent_id TEXT REFERENCES snapshot(id),
    layer_id TEXT NOT NULL REFERENCES layer(id),
    memory_id TEXT REFERENCES memory(id),
    disk_gb INTEGER NOT NULL,
    -- Made by a fork; removed with the last machine that came from it.
    implicit INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    UNIQUE (workspace_id, name)
  ) STRICT;
  CREATE INDEX snapshot_layer ON snapshot(layer_id);

  CREATE TABLE template (
    id TEXT PRIMARY KEY,
    -- Everything it was made of; another value needs another template.
    key TEXT NOT NULL UNIQUE,
    image_name TEXT NOT NULL,
    image_digest TEXT NOT NULL,
    vcpus INTEGER NOT NULL,
    memory_mb INTEGER NOT NULL,
    disk_gb INTEGER NOT NULL,
    layer_id TEXT NOT NULL REFERENCES layer(id),
    memory_id TEXT NOT NULL REFERENCES memory(id),
    created_at TEXT NOT NULL
  ) STRICT;

  CREATE TABLE setting (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
  ) STRICT;

  -- Kernel and agent that the guest runs, whatever this host boots by now.
  ALTER TABLE machine_run ADD COLUMN guest TEXT NOT NULL DEFAULT '{}';

  -- What a mutation was about to make, so that it can be found again.
  ALTER TABLE journal ADD COLUMN detail TEXT NOT NULL DEFAULT '{}';
  `,
  `
  -- What it may reach and who may reach it, as JSON; empty: nothing and nobody.
  ALTER TABLE workspace ADD COLUMN network TEXT NOT NULL DEFAULT '{}';
  -- Another number for every policy there has ever been; 0: none given yet.
  ALTER TABLE workspace ADD COLUMN network_revision INTEGER NOT NULL DEFAULT 0;

  -- Ports of this host that lead into a machine.
  CREATE TABLE port_forward (
    workspace_id TEXT NOT NULL REFERENCES workspace(id) ON DELETE CASCADE,
    bind TEXT NOT NULL,
    host_port INTEGER NOT NULL,
    guest_port INTEGER NOT NULL,
    PRIMARY KEY (bind, host_port)
  ) STRICT;
  CREATE INDEX port_forward_workspace ON port_forward(workspace_id);
  `,
  `
  -- Key of the caller it belongs to; null: of nobody, whoever wants it may adopt it.
  ALTER TABLE workspace ADD COLUMN owner TEXT;
  CREATE INDEX workspace_owner ON workspace(owner);
  ` +
    auditSchema +
    idempotencySchema +
    vaultSchema +
    orchestrationSchema +
    teamSchema,
];
