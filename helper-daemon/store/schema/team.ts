/** Tables of the team records; a part of a migration (store/migrations.ts). */
export const teamSchema = `
  -- The state is the journal of its life: 'creating' is undone by a daemon that starts, 'destroying' finished.
  CREATE TABLE team (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    state TEXT NOT NULL,
    max_vms INTEGER NOT NULL,
    parent_id TEXT REFERENCES team(id),
    -- Teams above it.
    depth INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    -- Whether its folder in the vault goes with it.
    purge INTEGER NOT NULL DEFAULT 0,
    problem TEXT
  ) STRICT;
  CREATE INDEX team_parent ON team(parent_id);

  CREATE TABLE team_member (
    team_id TEXT NOT NULL REFERENCES team(id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    position INTEGER NOT NULL,
    role TEXT NOT NULL,
    description TEXT NOT NULL,
    -- A JSON array of strings.
    skills TEXT NOT NULL,
    -- Known before the workspace is made, so that it can be found again.
    workspace_name TEXT NOT NULL UNIQUE,
    workspace_id TEXT,
    state TEXT NOT NULL,
    PRIMARY KEY (team_id, name)
  ) STRICT;
  CREATE INDEX team_member_workspace ON team_member(workspace_id);

  -- One row for each recipient; the order of ids is the order of a mailbox.
  CREATE TABLE team_message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    team_id TEXT NOT NULL,
    recipient TEXT NOT NULL,
    message_id TEXT NOT NULL,
    sender TEXT NOT NULL,
    content TEXT NOT NULL,
    type TEXT NOT NULL,
    created_at TEXT NOT NULL,
    FOREIGN KEY (team_id, recipient) REFERENCES team_member(team_id, name) ON DELETE CASCADE
  ) STRICT;
  CREATE INDEX team_message_mailbox ON team_message(team_id, recipient, id);

  CREATE TABLE team_task (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    team_id TEXT NOT NULL,
    member TEXT NOT NULL,
    message_id TEXT NOT NULL,
    state TEXT NOT NULL,
    -- TaskAssignment as JSON; given up with its secrets when the task has ended.
    assignment TEXT,
    job_id INTEGER,
    -- TaskResult as JSON, once it has ended.
    result TEXT,
    created_at TEXT NOT NULL,
    FOREIGN KEY (team_id, member) REFERENCES team_member(team_id, name) ON DELETE CASCADE
  ) STRICT;
  CREATE INDEX team_task_queue ON team_task(team_id, member, state, id);
`;
