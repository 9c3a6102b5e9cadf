/** Rows of teams and their members. */
import { CoppiceError } from '../../protocol/errors.ts';
import type { Database } from './database.ts';

export type TeamState = 'creating' | 'ready' | 'destroying';

export interface TeamRecord {
  readonly id: string;
  readonly name: string;
  /** Key of the caller it belongs to (workspaces/callers.ts). */
  readonly owner: string;
  readonly state: TeamState;
  readonly maxVms: number;
  readonly parentId: string | null;
  /** Teams above it. */
  readonly depth: number;
  readonly createdAt: string;
  /** Its folder in the vault goes with it. */
  readonly purge: boolean;
  readonly problem: string | null;
}

/** `failed`: its workspace is gone. `removed`: the team let go of it. */
export type MemberState = 'initializing' | 'ready' | 'failed' | 'removed';

export interface MemberRecord {
  readonly teamId: string;
  readonly name: string;
  readonly role: string;
  readonly description: string;
  readonly skills: readonly string[];
  readonly workspaceName: string;
  /** Null until it is made. */
  readonly workspaceId: string | null;
  readonly state: MemberState;
}

export interface TeamStore {
  /** @throws CoppiceError `name_taken` */
  insert(team: TeamRecord, members: readonly MemberRecord[]): void;
  byId(id: string): TeamRecord | undefined;
  byName(name: string): TeamRecord | undefined;
  /** Oldest first. */
  all(): TeamRecord[];
  children(id: string): TeamRecord[];
  /** Members of a team and of all teams below it. */
  countBelow(id: string): number;
  update(id: string, change: Partial<Pick<TeamRecord, 'state' | 'purge' | 'problem'>>): void;
  /** With its members, mailboxes and tasks. */
  remove(id: string): void;
  /** In the order of the roles. */
  members(teamId: string): MemberRecord[];
  member(teamId: string, name: string): MemberRecord | undefined;
  memberOf(workspaceId: string): MemberRecord | undefined;
  /** Whether a member has, or is to have, a workspace of this name. */
  isReserved(workspaceName: string): boolean;
  updateMember(
    teamId: string,
    name: string,
    change: Partial<Pick<MemberRecord, 'workspaceId' | 'state'>>,
  ): void;
}

type Row = Record<string, unknown>;

export function teamStore(db: Database): TeamStore {
  const insert = db.prepare(
    'INSERT INTO team (id, name, owner, state, max_vms, parent_id, depth, created_at, purge, problem) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
  );
  const insertMember = db.prepare(
    'INSERT INTO team_member (team_id, name, position, role, description, skills, workspace_name, workspace_id, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
  );
  const byId = db.prepare('SELECT * FROM team WHERE id = ?');
  const byName = db.prepare('SELECT * FROM team WHERE name = ?');
  const all = db.prepare('SELECT * FROM team ORDER BY created_at, id');
  const children = db.prepare('SELECT * FROM team WHERE parent_id = ? ORDER BY created_at, id');
  const countBelow = db.prepare(
    `WITH RECURSIVE below(id) AS (
       VALUES (?) UNION ALL SELECT team.id FROM team JOIN below ON team.parent_id = below.id
     ) SELECT count(*) AS n FROM team_member WHERE team_id IN below`,
  );
  const update = db.prepare('UPDATE team SET state = ?, purge = ?, problem = ? WHERE id = ?');
  const remove = db.prepare('DELETE FROM team WHERE id = ?');
  const members = db.prepare('SELECT * FROM team_member WHERE team_id = ? ORDER BY position');
  const member = db.prepare('SELECT * FROM team_member WHERE team_id = ? AND name = ?');
  const memberOf = db.prepare('SELECT * FROM team_member WHERE workspace_id = ?');
  const reserved = db.prepare('SELECT 1 FROM team_member WHERE workspace_name = ?');
  const updateMember = db.prepare(
    'UPDATE team_member SET workspace_id = ?, state = ? WHERE team_id = ? AND name = ?',
  );
  const one = <T>(row: Row | undefined, read: (row: Row) => T): T | undefined =>
    row === undefined ? undefined : read(row);

  return {
    insert(team, list) {
      if (byName.get(team.name) !== undefined) throw nameTaken(team.name);
      insert.run(
        team.id,
        team.name,
        team.owner,
        team.state,
        team.maxVms,
        team.parentId,
        team.depth,
        team.createdAt,
        Number(team.purge),
        team.problem,
      );
      list.forEach((row, position) => {
        insertMember.run(
          row.teamId,
          row.name,
          position,
          row.role,
          row.description,
          JSON.stringify(row.skills),
          row.workspaceName,
          row.workspaceId,
          row.state,
        );
      });
    },
    byId: (id) => one(byId.get(id), toTeam),
    byName: (name) => one(byName.get(name), toTeam),
    all: () => all.all().map(toTeam),
    children: (id) => children.all(id).map(toTeam),
    countBelow: (id) => Number(countBelow.get(id)?.['n'] ?? 0),
    update(id, change) {
      const current = one(byId.get(id), toTeam);
      if (current === undefined) return;
      const { state, purge, problem } = { ...current, ...change };
      update.run(state, Number(purge), problem, id);
    },
    remove(id) {
      remove.run(id);
    },
    members: (teamId) => members.all(teamId).map(toMember),
    member: (teamId, name) => one(member.get(teamId, name), toMember),
    memberOf: (workspaceId) => one(memberOf.get(workspaceId), toMember),
    isReserved: (workspaceName) => reserved.get(workspaceName) !== undefined,
    updateMember(teamId, name, change) {
      const current = one(member.get(teamId, name), toMember);
      if (current === undefined) return;
      const { workspaceId, state } = { ...current, ...change };
      updateMember.run(workspaceId, state, teamId, name);
    },
  };
}

function nameTaken(name: string): CoppiceError {
  return new CoppiceError({
    code: 'name_taken',
    message: `There is already a team named ${name}.`,
    next: 'Choose another name, or destroy that one first.',
    details: { name },
  });
}

function toTeam(row: Row): TeamRecord {
  return {
    id: String(row['id']),
    name: String(row['name']),
    owner: String(row['owner']),
    state: row['state'] as TeamState,
    maxVms: Number(row['max_vms']),
    parentId: row['parent_id'] as string | null,
    depth: Number(row['depth']),
    createdAt: String(row['created_at']),
    purge: row['purge'] === 1,
    problem: row['problem'] as string | null,
  };
}

function toMember(row: Row): MemberRecord {
  return {
    teamId: String(row['team_id']),
    name: String(row['name']),
    role: String(row['role']),
    description: String(row['description']),
    skills: JSON.parse(String(row['skills'])) as string[],
    workspaceName: String(row['workspace_name']),
    workspaceId: row['workspace_id'] as string | null,
    state: row['state'] as MemberState,
  };
}
