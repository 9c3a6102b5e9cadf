/** What every agent is told before its first call; short, because it costs each of them context. */
export const instructions = `Coppice gives you disposable Linux machines (workspaces) on this host: create, run, snapshot, fork, throw away.

Use one for code you do not trust, for a lasting environment, for rolling back, for trying things side by side. Not for reading files you already have.

- workspace_id takes a name or an id. Name workspaces after their task; yours stay yours across sessions: look with workspace_list first, workspace_adopt takes over what belonged to another session.
- exec runs a shell command and waits (120 s unless timeout_secs says more). For longer work use exec_background: start it, then poll; its output is there meanwhile.
- snapshot(create) before anything risky; snapshot(restore) brings that state back in seconds. Do not reinstall what a snapshot can keep.
- workspace_fork copies a workspace or a snapshot, running programs included, as often as you like: one copy for each idea. workspace_merge brings their git commits together.
- No internet unless you ask: allow_internet at creation, or network_policy later.
- Machines go on when you disconnect. Destroy what you no longer need: quotas count them.
- A failed call says what to do next. Give idempotency_key on calls that must not act twice; then repeating them is safe.

Resources show workspaces, logs, files and snapshots; prompts walk through the usual patterns.`;
