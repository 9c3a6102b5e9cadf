import { describe, expect, it } from 'vitest';
import { CoppiceError } from '../../../protocol/errors.ts';
import { temporaryDatabase } from '../store/temporaryDatabase.ts';
import { claude, codex, emptyWorld, person, teamScene } from './teamScene.ts';

const database = temporaryDatabase();

describe('destroying a team', () => {
  it('destroys its machines and forgets it, its mailboxes and its tasks', async () => {
    const { create, machines, teams, send, task, receive } = teamScene(database.db);
    await create('squad');
    send('b', 'hello');
    task('b', 't1');
    expect(await teams.destroy({ name: 'squad' }, claude)).toEqual({
      name: 'squad',
      success: true,
      destroyed: 2,
      left: [],
    });
    expect(machines.all.size).toBe(0);
    await create('squad');
    expect(receive('b')).toMatchObject({
      messages: [],
      daemon_results: [],
      daemon_pending_tasks: 0,
    });
  });

  it('is for its owner and the person of the account; another agent is told whose it is', async () => {
    const { create, teams } = teamScene(database.db);
    await create('squad');
    const refused = { code: 'not_owned', message: expect.stringContaining('the agent claude') };
    await expect(teams.destroy({ name: 'squad' }, codex)).rejects.toMatchObject(refused);
    const to = { name: 'squad', agent: 'a', to: 'b', content: 'x' };
    expect(() => teams.message(to, codex)).toThrow(CoppiceError);
    expect(() => teams.receive({ name: 'squad', agent: 'a' }, codex)).toThrow(/the agent claude/);
    expect(() => teams.message(to, { uid: 1001, agent: null })).toThrow(/not owned/);
    teams.message(to, person);
    await teams.destroy({ name: 'squad' }, person);
  });

  it('takes the teams below it first', async () => {
    const { create, machines, teams } = teamScene(database.db);
    await create('top', { members: ['a'] });
    await create('middle', { members: ['a'], parent_team: 'top' });
    await create('low', { members: ['a'], parent_team: 'middle' });
    const order: string[] = [];
    machines.beforeDestroy = async (id) => {
      order.push(machines.all.get(id)?.name.split('-')[0] ?? '');
    };
    await teams.destroy({ name: 'top' }, claude);
    expect(order).toEqual(['low', 'middle', 'top']);
    expect(teams.list().count).toBe(0);
  });

  it('is refused while a team below it belongs to somebody else', async () => {
    const { create, machines, teams } = teamScene(database.db);
    await create('top', { members: ['a'] });
    await create('low', { members: ['a'], parent_team: 'top' }, person);
    await expect(teams.destroy({ name: 'top' }, claude)).rejects.toMatchObject({
      code: 'not_owned',
      details: { name: 'low' },
    });
    expect(teams.status('top').state).toBe('Ready');
    await teams.destroy({ name: 'top' }, person);
    expect(machines.all.size).toBe(0);
  });

  it('leaves a machine to whoever has adopted it, outside of the network of the team', async () => {
    const { create, machines, teams } = teamScene(database.db);
    const { member_workspace_ids } = await create('squad');
    const [id = ''] = member_workspace_ids;
    const taken = machines.all.get(id);
    if (taken === undefined) throw new Error('no machine');
    machines.all.set(id, { ...taken, owner: '1000/codex' });
    expect(await teams.destroy({ name: 'squad' }, claude)).toMatchObject({
      destroyed: 1,
      left: [taken.name],
    });
    expect(machines.all.get(id)?.network).toBeNull();
  });

  it('reports what could not be destroyed, keeps it, and can be called again', async () => {
    const { create, machines, teams } = teamScene(database.db);
    const { member_workspace_ids } = await create('squad', { members: ['a', 'b', 'c'] });
    machines.beforeDestroy = async (id) => {
      if (id === member_workspace_ids[1]) throw new Error('the disk is away');
    };
    await expect(teams.destroy({ name: 'squad' }, claude)).rejects.toMatchObject({
      message: expect.stringContaining('b: Unexpected failure: the disk is away'),
      details: { failures: [{ member: 'b' }] },
    });
    expect(teams.status('squad')).toMatchObject({
      state: 'Destroying',
      problem: expect.stringContaining('1 of 3'),
      members: [
        { agent_status: 'Removed' },
        { agent_status: 'Ready' },
        { agent_status: 'Removed' },
      ],
    });
    machines.beforeDestroy = async () => undefined;
    expect(await teams.destroy({ name: 'squad' }, claude)).toMatchObject({ destroyed: 1 });
    expect(teams.list().count).toBe(0);
  });

  it('is finished by the next daemon when this one died', async () => {
    const world = emptyWorld();
    const dying = teamScene(database.db, world);
    await dying.create('squad', { members: ['a', 'b', 'c'] });
    await dying.create('kept', { members: ['a'] });
    const reached = Promise.withResolvers<true>();
    world.machines.beforeDestroy = async () => {
      reached.resolve(true);
      await new Promise<never>(() => undefined);
    };
    void dying.teams.destroy({ name: 'squad', purge: true }, claude);
    await reached.promise;
    world.machines.beforeDestroy = async () => undefined;
    database.reopen();
    const next = teamScene(database.db, world);
    await next.teams.recover();
    expect(next.teams.list().teams.map(({ name }) => name)).toEqual(['kept']);
    expect(world.machines.all.size).toBe(1);
    expect([...world.files.keys()]).toEqual(['teams/kept/cards/a.json']);
  });

  it('called twice at once does it once', async () => {
    const { create, teams } = teamScene(database.db);
    await create('squad');
    const both = await Promise.all([
      teams.destroy({ name: 'squad' }, claude),
      teams.destroy({ name: 'squad' }, claude),
    ]);
    expect(both.map(({ destroyed }) => destroyed).sort()).toEqual([0, 2]);
  });
});

describe('agent cards', () => {
  it('say what a member is, and follow it from its making to its end', async () => {
    const { create, machines, teams, files, folders } = teamScene(database.db);
    const seen: string[] = [];
    const statusOf = (member: string): string =>
      (JSON.parse(files.get(`teams/squad/cards/${member}.json`) ?? '{}') as { status: string })
        .status;
    machines.beforeCreate = async () => void seen.push(statusOf('coder'));
    const { member_workspace_ids } = await create('squad', {
      members: [],
      roles: [
        { name: 'coder', role: 'developer', skills: ['rust'], description: 'Writes it' },
        { name: 'reviewer', role: 'review' },
      ],
    });
    expect(seen).toEqual(['initializing', 'initializing']);
    expect([...folders]).toEqual(['teams/squad/cards', 'teams/squad/tasks', 'teams/squad/notes']);
    const [coder = '', reviewer = ''] = member_workspace_ids;
    expect(JSON.parse(files.get('teams/squad/cards/coder.json') ?? '')).toEqual({
      name: 'coder',
      role: 'developer',
      description: 'Writes it',
      skills: ['rust'],
      endpoints: { vsock_cid: 0, ip: null, http_port: 8080 },
      status: 'ready',
      team: 'squad',
      workspace_id: coder,
    });
    machines.all.delete(reviewer);
    teams.heard({ type: 'workspace_removed', workspace_id: reviewer, name: 'x' });
    await expect.poll(() => statusOf('reviewer')).toBe('failed');
    expect(teams.status('squad').members[1]).toMatchObject({
      agent_status: 'Failed',
      workspace_state: 'destroyed',
    });
    await teams.destroy({ name: 'squad' }, claude);
    expect(statusOf('coder')).toBe('removed');
  });

  it('go with the team when it is destroyed with purge', async () => {
    const { create, teams, files } = teamScene(database.db);
    files.set('teams/squadron/notes/a.md', 'another team');
    await create('squad');
    files.set('teams/squad/notes/plan.md', 'a plan');
    await teams.destroy({ name: 'squad', purge: true }, claude);
    expect([...files.keys()]).toEqual(['teams/squadron/notes/a.md']);
  });

  it('do not keep a team from its work when they cannot be written', async () => {
    const { create, services } = teamScene(database.db);
    const vault = services.vault?.('1000');
    if (vault === undefined) throw new Error('no vault');
    vault.write = () => Promise.reject(new Error('read-only'));
    expect(await create('squad')).toMatchObject({ state: 'Ready' });
  });
});
