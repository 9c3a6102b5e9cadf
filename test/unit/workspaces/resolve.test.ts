import { describe, expect, it } from 'vitest';
import { teamStore, type MemberRecord } from '../../../helper-daemon/store/teamStore.ts';
import { workspaceStore } from '../../../helper-daemon/store/workspaceStore.ts';
import { resolveWorkspace } from '../../../helper-daemon/workspaces/resolve.ts';
import { temporaryDatabase, workspaceRow } from '../store/temporaryDatabase.ts';

const database = temporaryDatabase();

function resolver(): (reference: string) => string {
  const store = workspaceStore(database.db);
  return (reference) => resolveWorkspace(store, reference).id;
}

function addTeam(name: string, members: Readonly<Record<string, string>>): void {
  const team = {
    id: name,
    name,
    owner: '1000',
    state: 'ready',
    maxVms: 10,
    parentId: null,
    depth: 0,
    createdAt: '2026-01-01T00:00:00.000Z',
    purge: false,
    problem: null,
  } as const;
  const rows = Object.entries(members).map(([member, workspaceId]): MemberRecord => {
    workspaceStore(database.db).insert(workspaceRow(workspaceId));
    return {
      teamId: name,
      name: member,
      role: 'worker',
      description: '',
      skills: [],
      workspaceName: `name-${workspaceId}`,
      workspaceId,
      state: 'ready',
    };
  });
  teamStore(database.db).insert(team, rows);
}

describe('a reference to a workspace', () => {
  it('may be team.member or team-member', () => {
    addTeam('review-squad', { author: '1', 'reviewer-1': '2' });
    const resolve = resolver();
    expect(resolve('review-squad.author')).toBe('1');
    expect(resolve('review-squad-author')).toBe('1');
    expect(resolve('review-squad.reviewer-1')).toBe('2');
    expect(resolve('review-squad-reviewer-1')).toBe('2');
  });

  it('means the workspace of that name first', () => {
    addTeam('squad', { author: '1' });
    workspaceStore(database.db).insert(workspaceRow('2', { name: 'squad.author' }));
    expect(resolver()('squad.author')).toBe('2');
  });

  it('is refused when the dash can be read in two ways, and the dot tells them apart', () => {
    addTeam('a-b', { c: '1' });
    addTeam('a', { 'b-c': '2' });
    const resolve = resolver();
    expect(() => resolve('a-b-c')).toThrow(
      expect.objectContaining({
        code: 'invalid_input',
        next: expect.stringContaining('team.member'),
      }),
    );
    expect(resolve('a-b.c')).toBe('1');
    expect(resolve('a.b-c')).toBe('2');
  });

  it('finds nothing for members that have no workspace', () => {
    addTeam('squad', { author: '1' });
    workspaceStore(database.db).remove('1');
    const resolve = resolver();
    for (const reference of ['squad.author', 'squad.nobody', 'squad', '.author']) {
      expect(() => resolve(reference)).toThrow(expect.objectContaining({ code: 'not_found' }));
    }
  });
});
