import { describe, expect, it } from 'vitest';
import { CoppiceError } from '../../../protocol/errors.ts';
import { temporaryDatabase } from '../store/temporaryDatabase.ts';
import type { JobEnd } from '../../../helper-daemon/teams/teamServices.ts';
import { emptyWorld, teamScene, type Scene } from './teamScene.ts';

const database = temporaryDatabase();

const runningTasks = ({ jobs }: Pick<Scene, 'jobs'>): string[] =>
  jobs.running().map(({ assignment }) => assignment.task_id);

/** The next result; fails the test when there is none in time. */
async function resultOf(scene: Scene, agent: string) {
  let results: ReturnType<Scene['receive']>['daemon_results'] = [];
  await expect
    .poll(() => (results = scene.receive(agent).daemon_results).length, { timeout: 5000 })
    .toBeGreaterThan(0);
  const [result] = results;
  if (result === undefined) throw new Error('no result');
  return result;
}

describe('tasks', () => {
  it('run in the machine of the recipient and bring their results, once', async () => {
    const scene = teamScene(database.db);
    const { member_workspace_ids } = await scene.create('squad');
    const id = scene.task('b', 'build', { command: 'make', workdir: '/src', env: { A: '1' } });
    await expect.poll(() => runningTasks(scene)).toEqual(['build']);
    expect(scene.jobs.started[0]).toMatchObject({
      workspaceId: member_workspace_ids[1],
      assignment: { command: 'make', workdir: '/src', env: { A: '1' } },
    });
    expect(scene.receive('b')).toMatchObject({ count: 0, daemon_pending_tasks: 1 });
    scene.jobs.end('build', { out: 'built\n', durationMs: 34_600 });
    expect(await resultOf(scene, 'b')).toEqual({
      task_id: 'build',
      success: true,
      exit_code: 0,
      stdout: 'built\n',
      stderr: '',
      elapsed_secs: 35,
      source_message_id: id,
      timed_out: false,
    });
    expect(scene.receive('b')).toMatchObject({ daemon_results: [], daemon_pending_tasks: 0 });
  });

  it('run four at a time for each member, in order; the others wait where they can be seen', async () => {
    const scene = teamScene(database.db);
    await scene.create('squad');
    for (let index = 1; index <= 7; index += 1) scene.task('b', `t${String(index)}`);
    scene.task('a', 'mine');
    await expect.poll(() => runningTasks(scene)).toEqual(['t1', 't2', 't3', 't4', 'mine']);
    expect(scene.receive('b').daemon_pending_tasks).toBe(7);
    expect(scene.teams.status('squad').members[1]).toMatchObject({
      pending_tasks: 7,
      running_tasks: 4,
    });
    scene.jobs.end('t2');
    await expect.poll(() => runningTasks(scene)).toEqual(['t1', 't3', 't4', 'mine', 't5']);
    expect(scene.receive('b')).toMatchObject({
      daemon_pending_tasks: 6,
      daemon_results: [{ task_id: 't2' }],
    });
  });

  it.each([
    ['no JSON', 'cargo test'],
    ['no command', '{"task_id":"x"}'],
    ['a bad variable', '{"task_id":"x","command":"true","env":{"A B":"1"}}'],
    ['a list', '[]'],
  ])('with %s come back as a result at once', async (_, content) => {
    const scene = teamScene(database.db);
    await scene.create('squad');
    const id = scene.send('b', content, 'task_assignment');
    expect(scene.receive('b')).toMatchObject({
      count: 0,
      daemon_pending_tasks: 0,
      daemon_results: [
        { task_id: 'unknown', exit_code: -2, success: false, source_message_id: id },
      ],
    });
    expect(scene.jobs.started).toEqual([]);
  });

  it('take null for what is not given', async () => {
    const scene = teamScene(database.db);
    await scene.create('squad');
    scene.task('b', 't', { workdir: null, env: null, timeout_secs: null });
    await expect.poll(() => runningTasks(scene)).toEqual(['t']);
  });

  it('cut long output between characters and say so', async () => {
    const scene = teamScene(database.db);
    await scene.create('squad');
    scene.task('b', 't');
    await expect.poll(() => runningTasks(scene)).toEqual(['t']);
    scene.jobs.end('t', { out: `x${'ä'.repeat(5000)}` });
    const { stdout } = await resultOf(scene, 'b');
    expect(stdout).toBe(`x${'ä'.repeat(2047)}... (truncated)`);
  });

  it('that were killed or ran out of time have not succeeded', async () => {
    const scene = teamScene(database.db);
    await scene.create('squad');
    scene.task('b', 't');
    await expect.poll(() => runningTasks(scene)).toEqual(['t']);
    scene.jobs.end('t', { exitCode: null, timedOut: true });
    expect(await resultOf(scene, 'b')).toMatchObject({
      success: false,
      exit_code: -1,
      timed_out: true,
    });
  });

  it('that cannot be started say why', async () => {
    const scene = teamScene(database.db);
    await scene.create('squad');
    scene.jobs.beforeStart = () => {
      throw new CoppiceError({ code: 'not_started', message: 'There is no directory /src.' });
    };
    scene.task('b', 't');
    expect(await resultOf(scene, 'b')).toMatchObject({
      task_id: 't',
      exit_code: -1,
      stderr: 'There is no directory /src.',
    });
  });

  it('are tried again while their machine cannot be reached, and never started twice', async () => {
    const scene = teamScene(database.db);
    await scene.create('squad');
    const failures = ['guest_unreachable', 'outcome_unknown'] as const;
    let attempts = 0;
    scene.jobs.beforeStart = (job) => {
      const code = failures[attempts];
      attempts += 1;
      if (code === undefined) throw new Error('was started again');
      // The second time it has begun, and only the answer was lost.
      if (code === 'outcome_unknown') scene.jobs.started.push(job);
      throw new CoppiceError({ code, message: code });
    };
    scene.task('b', 't');
    await expect.poll(() => attempts).toBe(2);
    await expect
      .poll(() =>
        scene.services.mail.unfinished(scene.services.store.byName('squad')?.id ?? '', 'b', 4),
      )
      .toMatchObject([{ state: 'running' }]);
    scene.jobs.end('t');
    expect(await resultOf(scene, 'b')).toMatchObject({ success: true });
    expect(attempts).toBe(2);
  });

  it('wait while their machine is stopped, tell the sender, and run when it is started', async () => {
    const scene = teamScene(database.db);
    const { member_workspace_ids } = await scene.create('squad');
    const [, id = ''] = member_workspace_ids;
    scene.jobs.state = () => 'stopped';
    const content = JSON.stringify({ task_id: 't', command: 'true' });
    const sent = scene.teams.message(
      { name: 'squad', agent: 'a', to: 'b', content, message_type: 'task_assignment' },
      { uid: 1000, agent: 'claude' },
    );
    expect(sent.note).toMatch(/waits until squad-b-[0-9a-f]{4} is started/);
    scene.jobs.state = () => 'ready';
    expect(scene.jobs.started).toEqual([]);
    scene.teams.heard({
      type: 'workspace_changed',
      workspace: { workspace_id: id, state: 'running' } as never,
    });
    await expect.poll(() => runningTasks(scene)).toEqual(['t']);
  });

  it('that wait for their machine begin when it is started within a transaction of somebody else', async () => {
    const scene = teamScene(database.db);
    const { member_workspace_ids } = await scene.create('squad');
    scene.jobs.state = () => 'stopped';
    scene.task('b', 't');
    scene.services.transaction(() => {
      scene.jobs.state = () => 'ready';
      scene.teams.heard({
        type: 'workspace_changed',
        workspace: { workspace_id: member_workspace_ids[1], state: 'running' } as never,
      });
    });
    await expect.poll(() => runningTasks(scene)).toEqual(['t']);
    scene.jobs.end('t');
    expect(await resultOf(scene, 'b')).toMatchObject({ success: true });
  });

  it('are followed under the number that a restored machine has given them', async () => {
    const scene = teamScene(database.db);
    await scene.create('squad');
    scene.task('b', 't');
    await expect.poll(() => runningTasks(scene)).toEqual(['t']);
    const [before] = scene.jobs.started;
    if (before === undefined) throw new Error('nothing was started');
    const after = { ...before, id: 200_001, ended: Promise.withResolvers<JobEnd>() };
    scene.jobs.started.push(after);
    before.ended.reject(new CoppiceError({ code: 'not_found', message: 'no such process' }));
    after.ended.resolve({
      exitCode: 7,
      timedOut: false,
      durationMs: 0,
      stdout: { head: Buffer.from('restored'), totalBytes: 8 },
      stderr: { head: Buffer.alloc(0), totalBytes: 0 },
    });
    expect(await resultOf(scene, 'b')).toMatchObject({ exit_code: 7, stdout: 'restored' });
  });

  it('that ran when their machine was stopped, restored or destroyed end as lost', async () => {
    const scene = teamScene(database.db);
    await scene.create('squad');
    for (const name of ['t1', 't2', 't3']) scene.task('b', name);
    await expect.poll(() => runningTasks(scene)).toHaveLength(3);
    const [first, second, third] = scene.jobs.started;
    const broken = new CoppiceError({ code: 'guest_unreachable', message: 'gone' });
    scene.jobs.state = () => 'stopped';
    first?.ended.reject(broken);
    expect(await resultOf(scene, 'b')).toMatchObject({
      task_id: 't1',
      exit_code: -1,
      stderr: 'Its machine was stopped before it had ended.',
    });
    scene.jobs.state = () => 'ready';
    scene.jobs.find = async () => undefined;
    second?.ended.reject(new CoppiceError({ code: 'not_found', message: 'no such process' }));
    expect(await resultOf(scene, 'b')).toMatchObject({ task_id: 't2', exit_code: -1 });
    scene.jobs.state = () => 'gone';
    third?.ended.reject(broken);
    expect(await resultOf(scene, 'b')).toMatchObject({
      task_id: 't3',
      stderr: 'Its machine is gone.',
    });
    expect(scene.jobs.started).toHaveLength(3);
  });

  it('go on under the next daemon: those that run are not started again, those that waited are', async () => {
    const world = emptyWorld();
    const before = teamScene(database.db, world);
    await before.create('squad');
    for (let index = 1; index <= 6; index += 1) before.task('b', `t${String(index)}`);
    await expect.poll(() => runningTasks(before)).toHaveLength(4);
    await before.teams.close();
    world.jobs.end('t3', { out: 'while nobody looked' });
    database.reopen();
    const after = teamScene(database.db, world);
    await after.teams.recover();
    expect(await resultOf(after, 'b')).toMatchObject({
      task_id: 't3',
      stdout: 'while nobody looked',
    });
    await expect.poll(() => runningTasks(after)).toEqual(['t1', 't2', 't4', 't5']);
    expect(world.jobs.started.map(({ assignment }) => assignment.task_id)).toEqual([
      't1',
      't2',
      't3',
      't4',
      't5',
    ]);
  });

  it('whose start was never confirmed to the daemon before are found, not started again', async () => {
    const world = emptyWorld();
    const before = teamScene(database.db, world);
    await before.create('squad');
    const asked = Promise.withResolvers<true>();
    const { start } = world.jobs;
    world.jobs.start = async function (...request) {
      await start.apply(world.jobs, request);
      asked.resolve(true);
      return await new Promise<never>(() => undefined);
    };
    before.task('b', 't');
    await asked.promise;
    world.jobs.start = start;
    database.reopen();
    const after = teamScene(database.db, world);
    await after.teams.recover();
    world.jobs.end('t');
    expect(await resultOf(after, 'b')).toMatchObject({ task_id: 't', success: true });
    expect(world.jobs.started).toHaveLength(1);
  });

  it('give up their variables when they have ended', async () => {
    const scene = teamScene(database.db);
    await scene.create('squad');
    scene.task('b', 't', { env: { TOKEN: 'sesame' } });
    await expect.poll(() => runningTasks(scene)).toEqual(['t']);
    scene.jobs.end('t');
    await expect.poll(() => scene.teams.status('squad').members[1]?.unread_results).toBe(1);
    const rows = database.db.prepare('SELECT * FROM team_task').all();
    expect(JSON.stringify(rows)).not.toContain('sesame');
  });

  it('are acknowledged by the message they came with', async () => {
    const scene = teamScene(database.db);
    await scene.create('squad');
    const id = scene.send('b', 'nonsense', 'task_assignment');
    expect(scene.receive('b', { peek: true }).daemon_results).toHaveLength(1);
    expect(scene.receive('b', { peek: true }).daemon_results).toHaveLength(1);
    expect(scene.receive('b', { peek: true, ack: [id] }).daemon_results).toEqual([]);
  });
});
