import { describe, expect, it } from 'vitest';
import { CoppiceError } from '../../../protocol/errors.ts';
import { temporaryDatabase } from '../store/temporaryDatabase.ts';
import { claude, codex, emptyWorld, person, teamScene } from './teamScene.ts';

const database = temporaryDatabase();

describe('making a team', () => {
  it('makes a workspace for each role, in order, owned by the creator and in one network of their own', async () => {
    const { create, machines, teams } = teamScene(database.db);
    const made = await create('squad', { members: ['author', 'reviewer-1', 'reviewer-2'] });
    expect(made).toMatchObject({ name: 'squad', state: 'Ready', member_count: 3, max_vms: 10 });
    const rows = made.member_workspace_ids.map((id) => machines.all.get(id));
    expect(rows.map((row) => row?.name)).toEqual([
      expect.stringMatching(/^squad-author-[0-9a-f]{4}$/),
      expect.stringMatching(/^squad-reviewer-1-[0-9a-f]{4}$/),
      expect.stringMatching(/^squad-reviewer-2-[0-9a-f]{4}$/),
    ]);
    expect(new Set(rows.map((row) => row?.owner))).toEqual(new Set(['1000/claude']));
    expect(new Set(rows.map((row) => row?.network)).size).toBe(1);
    expect(teams.status('squad').members.map(({ agent_status }) => agent_status)).toEqual([
      'Ready',
      'Ready',
      'Ready',
    ]);
  });

  it('gives teams of one name, one after the other, networks that have nothing in common', async () => {
    const { create, machines, teams } = teamScene(database.db);
    await create('squad');
    const [first] = [...machines.all.values()].map(({ network }) => network);
    await teams.destroy({ name: 'squad' }, claude);
    await create('squad');
    const [second] = [...machines.all.values()].map(({ network }) => network);
    expect(second).toMatch(/^squad\./);
    expect(second).not.toBe(first);
  });

  it('lets one of two creates with the same name win and leaves nothing of the other', async () => {
    const { create, machines, teams } = teamScene(database.db);
    const both = await Promise.allSettled([create('squad'), create('squad')]);
    expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    expect(both[1]).toMatchObject({ reason: { code: 'name_taken' } });
    expect(machines.all.size).toBe(2);
    expect(teams.list().count).toBe(1);
  });

  it('takes roles as they are written on a command line, too', async () => {
    const { create, teams } = teamScene(database.db);
    await create('squad', {
      members: [],
      role: ['coder=developer', '{"name":"tester","role":"qa","skills":["rust"]}', 'solo'],
    });
    expect(teams.status('squad').members).toMatchObject([
      { name: 'coder', role: 'developer', skills: [] },
      { name: 'tester', role: 'qa', skills: ['rust'] },
      { name: 'solo', role: 'solo' },
    ]);
  });

  it.each([
    ['no roles', { members: [] }, 'invalid_input'],
    ['two roles of one name', { members: ['a', 'a'] }, 'invalid_input'],
    ['a role that is no JSON', { members: [], role: ['{name'] }, 'invalid_input'],
    ['a role with a bad name', { members: [], role: ['-a=b'] }, 'invalid_input'],
    ['more roles than max_vms', { members: ['a', 'b', 'c'], max_vms: 2 }, 'limit_exceeded'],
    ['a parent that is not there', { parent_team: 'nobody' }, 'not_found'],
  ])('refuses %s before anything is made', async (_, more, code) => {
    const { create, machines, teams } = teamScene(database.db);
    await expect(create('squad', more)).rejects.toMatchObject({ code });
    expect(machines.all.size).toBe(0);
    expect(teams.list().count).toBe(0);
  });

  it('checks the quota for all members at once', async () => {
    const { create, machines } = teamScene(database.db);
    machines.quota = 2;
    await expect(create('squad', { members: ['a', 'b', 'c'] })).rejects.toMatchObject({
      code: 'quota_exceeded',
    });
    expect(machines.all.size).toBe(0);
  });

  it('takes every member back when one of them fails, and says which', async () => {
    const { create, machines, teams, files } = teamScene(database.db);
    machines.beforeCreate = async ({ name }) => {
      if (name.startsWith('squad-c-')) {
        throw new CoppiceError({ code: 'no_memory', message: 'There is no memory.' });
      }
    };
    await expect(
      create('squad', { members: ['a', 'b', 'c', 'd', 'e', 'f'] }),
    ).rejects.toMatchObject({
      code: 'no_memory',
      message: expect.stringContaining('member c'),
      details: { team: 'squad', member: 'c' },
    });
    expect(machines.all.size).toBe(0);
    expect(teams.list().count).toBe(0);
    expect(JSON.parse(files.get('teams/squad/cards/a.json') ?? '')).toMatchObject({
      status: 'failed',
    });
    machines.beforeCreate = async () => undefined;
    await create('squad');
    expect(machines.all.size).toBe(2);
  });

  it('stops making the others when one of them fails', async () => {
    const { create, machines, teams } = teamScene(database.db);
    machines.beforeCreate = async ({ name, signal }) => {
      if (name.startsWith('squad-a-')) throw new Error('no');
      await new Promise<never>((_, reject) => {
        signal.addEventListener('abort', () => reject(new Error('stopped')));
      });
    };
    await expect(create('squad')).rejects.toMatchObject({
      message: expect.stringContaining('member a could not be') as string,
    });
    expect(teams.list().count).toBe(0);
  });

  it('is taken back when it was destroyed before its last member knew', async () => {
    const { create, machines, teams } = teamScene(database.db);
    const reached = Promise.withResolvers<true>();
    const goOn = Promise.withResolvers<true>();
    machines.beforeCreate = async () => {
      reached.resolve(true);
      await goOn.promise;
    };
    const making = create('squad').catch((error: unknown) => error);
    await reached.promise;
    const destroying = teams.destroy({ name: 'squad' }, claude);
    goOn.resolve(true);
    expect(await making).toMatchObject({ code: 'cancelled' });
    await destroying;
    expect(machines.all.size).toBe(0);
    expect(teams.list().count).toBe(0);
  });

  it('ends at once when it is destroyed meanwhile', async () => {
    const { create, machines, teams } = teamScene(database.db);
    const reached = Promise.withResolvers<true>();
    machines.beforeCreate = async ({ signal }) => {
      reached.resolve(true);
      await new Promise<never>((_, reject) => {
        signal.addEventListener('abort', () => {
          reject(new CoppiceError({ code: 'cancelled', message: 'The call was cancelled.' }));
        });
      });
    };
    const making = create('squad').catch((error: unknown) => error);
    await reached.promise;
    await teams.destroy({ name: 'squad' }, claude);
    expect(await making).toMatchObject({ code: 'cancelled' });
    expect(machines.all.size).toBe(0);
    expect(teams.list().count).toBe(0);
  });

  it('is undone by the next daemon when this one died, with members that nobody had written down', async () => {
    const world = emptyWorld();
    const dying = teamScene(database.db, world);
    const created = Promise.withResolvers<true>();
    const { create } = world.machines;
    // Each is made, and the daemon never hears of it.
    world.machines.create = async function (plan, member) {
      await create.call(world.machines, plan, member);
      if (world.machines.all.size === 2) created.resolve(true);
      return await new Promise<never>(() => undefined);
    };
    void dying.create('squad');
    await created.promise;
    const stranger = await create.call(
      world.machines,
      { kind: 'new' },
      {
        name: 'mine',
        owner: claude,
        network: '',
        signal: new AbortController().signal,
      },
    );
    database.reopen();
    const next = teamScene(database.db, world);
    await next.teams.recover();
    expect([...world.machines.all.keys()]).toEqual([stranger]);
    expect(next.teams.list().count).toBe(0);
  });
});

describe('teams below teams', () => {
  it('share the budget of every team above them', async () => {
    const { create } = teamScene(database.db);
    await create('top', { members: ['a', 'b'], max_vms: 5 });
    await create('middle', { members: ['a'], max_vms: 9, parent_team: 'top' });
    await expect(
      create('low', { members: ['a', 'b', 'c'], max_vms: 9, parent_team: 'middle' }),
    ).rejects.toMatchObject({
      code: 'limit_exceeded',
      details: { team: 'top', limit: 5, current: 3, requested: 3 },
    });
    await create('low', { members: ['a', 'b'], parent_team: 'middle' });
  });

  it('cannot overdraw it together when they are created at once', async () => {
    const { create, machines } = teamScene(database.db);
    await create('top', { members: ['a'], max_vms: 6 });
    const all = await Promise.allSettled(
      Array.from({ length: 8 }, (_, index) =>
        create(`child-${String(index)}`, { members: ['a', 'b'], parent_team: 'top' }),
      ),
    );
    expect(all.filter(({ status }) => status === 'fulfilled')).toHaveLength(2);
    expect(machines.all.size).toBe(5);
  });

  it('nest three deep and no deeper', async () => {
    const { create, teams } = teamScene(database.db);
    await create('t0', { members: ['a'] });
    for (const level of [1, 2, 3]) {
      await create(`t${String(level)}`, { members: ['a'], parent_team: `t${String(level - 1)}` });
    }
    await expect(create('t4', { members: ['a'], parent_team: 't3' })).rejects.toMatchObject({
      code: 'limit_exceeded',
    });
    expect(teams.status('t3').parent_team).toBe('t2');
  });

  it('can only be put below a team of the same owner', async () => {
    const { create } = teamScene(database.db);
    await create('top', { members: ['a'] });
    await expect(
      create('low', { members: ['a'], parent_team: 'top' }, codex),
    ).rejects.toMatchObject({ code: 'not_owned' });
    await create('low', { members: ['a'], parent_team: 'top' }, person);
  });
});
