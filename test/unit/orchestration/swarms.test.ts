import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CoppiceError } from '../../../protocol/errors.ts';
import { swarms, type Swarms } from '../../../helper-daemon/orchestration/swarm/swarms.ts';
import type { Results } from '../../../helper-daemon/orchestration/swarm/views.ts';
import type { Caller } from '../../../helper-daemon/workspaces/callers.ts';
import { fakeWorld, swarmOf, type FakeWorld } from './fakeSwarm.ts';

const agent: Caller = { uid: 1000, agent: 'builder' };
const other: Caller = { uid: 1000, agent: 'other' };

let world: FakeWorld;
let running: Swarms;

beforeEach(() => {
  world = fakeWorld();
  running = swarms(world.host);
});
afterEach(async () => {
  await running.close();
  world.remove();
});

async function end(id: string, of: Swarms = running): Promise<Results> {
  const results = await of.results(id, agent, {
    seconds: 10,
    signal: new AbortController().signal,
    progress: () => undefined,
  });
  expect(results.ended_at).not.toBeNull();
  return results;
}

async function run(input: Parameters<typeof swarmOf>[0]): Promise<Results> {
  return await end((await running.start(swarmOf(input), agent)).swarm_id);
}

function tasks(...commands: string[]): { name: string; command: string }[] {
  return commands.map((command, index) => ({ name: `t${String(index + 1)}`, command }));
}

/** Waits until this many tasks of the swarm run. */
async function untilRunning(id: string, amount: number): Promise<void> {
  await expect.poll(() => running.status(id, agent).counts.running).toBe(amount);
}

function outOfMemory(): never {
  throw new CoppiceError({ code: 'no_memory', message: 'no memory' });
}

describe('a swarm', () => {
  it('never has more workers at a time than it may', async () => {
    const results = await run({ tasks: tasks(...Array<string>(9).fill('say x')), max_parallel: 3 });
    expect(results.summary).toMatchObject({ succeeded: 9, workers_destroyed: 9 });
    expect(world.peak()).toBeLessThanOrEqual(3);
    expect([...world.workspaces.keys()]).toEqual(['golden-id']);
  });

  it('lets the other tasks go on when one worker cannot be made', async () => {
    world.on.fork = (name) => {
      if (name.endsWith('-t2')) outOfMemory();
    };
    const results = await run({ tasks: tasks('say a', 'say b', 'exit 4') });
    expect(results.state).toBe('done');
    expect(results.error).toBeNull();
    expect(results.tasks).toMatchObject([
      { success: true, exit_code: 0, stdout: 'a\n' },
      { success: false, exit_code: -1, workspace_id: null, stderr: 'no memory' },
      { success: false, exit_code: 4 },
    ]);
  });

  it('fails as a whole when no worker can be made', async () => {
    world.on.fork = outOfMemory;
    const results = await run({ tasks: tasks('say a', 'say b') });
    expect(results).toMatchObject({ state: 'failed', error: { code: 'internal' } });
    expect(results.error?.message).toContain('no memory');
  });

  it('destroys a worker whose variables could not be set, and skips its task', async () => {
    world.on.setEnv = () => {
      throw new CoppiceError({ code: 'guest_error', message: 'the machine refuses' });
    };
    const results = await run({ tasks: tasks('say a'), env_vars: { A: 'x' } });
    expect(results.tasks[0]).toMatchObject({ success: false, stderr: 'the machine refuses' });
    expect(results.summary.workers_destroyed).toBe(1);
    expect(world.jobs.size).toBe(0);
  });

  it("keeps the workers, as its caller's, when it is to", async () => {
    const results = await run({ tasks: tasks('say a', 'exit 1'), cleanup: false });
    expect(results.summary.workers_destroyed).toBe(0);
    const kept = [...world.workspaces.values()].filter(({ id }) => id !== 'golden-id');
    expect(kept.map(({ owner }) => owner)).toEqual(['1000/builder', '1000/builder']);
  });

  it('gives workers names and directories that are valid and differ, whatever tasks are called', async () => {
    const names = ['../../etc', 'a b', 'a/b', '…', 'x'.repeat(128)];
    const { swarm_id, output_dir } = await running.start(
      swarmOf({ tasks: names.map((name) => ({ name, command: 'say x' })), cleanup: false }),
      agent,
    );
    await end(swarm_id);
    const workers = [...world.workspaces.values()].map(({ name }) => name).slice(1);
    expect(new Set(workers).size).toBe(5);
    for (const name of workers) expect(name).toMatch(/^swarm-[A-Za-z0-9._-]{1,122}$/);
    for (const { slug } of world.rows.tasks(swarm_id)) {
      expect(slug).toMatch(/^[1-5]-[A-Za-z0-9]/);
      expect(existsSync(path.join(output_dir, slug, 'stdout.txt'))).toBe(true);
    }
  });

  it('gives workers what they should know: in files and in variables', async () => {
    await run({
      tasks: [{ name: 'one', command: 'say a', env: { OWN: '1' } }],
      env_vars: { ALL: '2' },
      shared_context: 'read this',
      vault_context: [{ query: 'widgets' }, { kind: 'read', query: 'gone.md' }],
      cleanup: false,
    });
    const [id = ''] = [...world.jobs.keys()];
    expect(world.files.get(`${id}:/tmp/.shared-context`)).toBe('read this');
    expect(world.files.get(`${id}:/tmp/.vault-context`)).toContain('### Search: "widgets"');
    expect(world.vars.get(id)).toMatchObject({ ALL: '2', SHARED_CONTEXT: 'read this' });
    expect(world.vars.get(id)?.['VAULT_CONTEXT']).toContain('notes/a.md:3\nabout widgets');
    expect(world.jobs.get(id)?.env).toEqual({ OWN: '1' });
  });

  it('cuts a context that is too long for a variable, and says where all of it is', async () => {
    const long = 'ä'.repeat(400_000);
    await run({ tasks: tasks('say a'), shared_context: long, cleanup: false });
    const [id = ''] = [...world.jobs.keys()];
    const variable = world.vars.get(id)?.['SHARED_CONTEXT'] ?? '';
    expect(Buffer.byteLength(variable)).toBeLessThan(128 * 1024);
    expect(variable).toMatch(/ä\n\[TRUNCATED: all of it is in \/tmp\/.shared-context\]$/);
    expect(world.files.get(`${id}:/tmp/.shared-context`)).toBe(long);
  });

  it('asks for the quota of as many workers as there can be at a time', async () => {
    const asked: number[] = [];
    world.on.quota = (count) => {
      asked.push(count);
      throw new CoppiceError({ code: 'quota_exceeded', message: 'quota exceeded' });
    };
    const six = tasks(...Array<string>(6).fill('say x'));
    for (const more of [{}, { cleanup: false }, { merge_strategy: 'sequential' as const }]) {
      await expect(running.start(swarmOf({ tasks: six, ...more }), agent)).rejects.toMatchObject({
        code: 'quota_exceeded',
      });
    }
    expect(asked).toEqual([4, 6, 6]);
    expect(running.list(agent)).toEqual([]);
  });

  it("is nobody's business but its caller's, and that person's", async () => {
    const { swarm_id } = await running.start(swarmOf({ tasks: tasks('say a') }), agent);
    expect(() => running.status(swarm_id, other)).toThrow('somebody else');
    expect(() => running.cancel(swarm_id, other)).toThrow('somebody else');
    expect(running.list(other)).toEqual([]);
    expect(running.status(swarm_id, { uid: 1000, agent: null }).swarm_id).toBe(swarm_id);
    expect(() => running.status(undefined, other)).toThrow('You have no swarm');
    expect(running.status(undefined, agent).swarm_id).toBe(swarm_id);
  });

  it('reads on from where it was when the connection to a worker breaks', async () => {
    let broken = 2;
    world.on.follow = (id) => {
      const job = world.jobs.get(id);
      if (job === undefined || broken === 0) return;
      broken -= 1;
      throw new CoppiceError({ code: 'guest_unreachable', message: 'broken' });
    };
    const results = await run({ tasks: tasks('say hello') });
    expect(results.tasks[0]).toMatchObject({ success: true, stdout: 'hello\n' });
    expect(broken).toBe(0);
  });

  it('says so when a worker is destroyed under its task', async () => {
    const { swarm_id } = await running.start(swarmOf({ tasks: tasks('wait', 'say a') }), agent);
    await untilRunning(swarm_id, 1);
    const [id = ''] = [...world.jobs.keys()];
    world.on.follow = () => undefined;
    world.workspaces.delete(id);
    const job = world.jobs.get(id);
    // Its stream ends with the machine.
    Object.defineProperty(job, 'end', {
      get: () => {
        throw new CoppiceError({ code: 'guest_unreachable', message: 'the machine has ended' });
      },
    });
    const results = await end(swarm_id);
    expect(results.tasks[0]).toMatchObject({ success: false, stderr: `no machine ${id}` });
    expect(results.tasks[1]).toMatchObject({ success: true });
  });
});

describe('the merge of a swarm', () => {
  it('gets the successful workers alone, in the order of the tasks, while they are still there', async () => {
    let there = 0;
    world.on.merge = ({ sources }) => {
      there = sources.filter((name) => world.host.named(name) !== undefined).length;
      return { reply: { success: true, total_commits_applied: 2 }, unmerged: [] };
    };
    const results = await run({
      tasks: tasks('say a', 'exit 1', 'say c'),
      max_parallel: 1,
      merge_strategy: 'branch-per-source',
    });
    expect(world.merges).toHaveLength(1);
    expect(world.merges[0]).toMatchObject({
      target: 'golden-id',
      path: '/workspace',
      caller: agent,
      sources: [`${results.swarm_id}-t1`, `${results.swarm_id}-t3`],
    });
    expect(there).toBe(2);
    expect(results.merge).toEqual({
      strategy: 'branch-per-source',
      target_workspace: 'gold',
      detail: '{"success":true,"total_commits_applied":2}',
      kept: [],
    });
    expect([...world.workspaces.keys()]).toEqual(['golden-id']);
  });

  it('keeps the workers whose commits it did not get, also over a restart', async () => {
    world.on.merge = ({ sources }) => ({
      reply: { success: false },
      unmerged: sources.slice(1),
    });
    const results = await run({
      tasks: tasks('say a', 'say b'),
      merge_strategy: 'sequential',
    });
    const kept = `${results.swarm_id}-t2`;
    expect(results.merge?.kept).toEqual([kept]);
    expect(world.host.named(kept)).toBeDefined();
    expect(world.host.named(`${results.swarm_id}-t1`)).toBeUndefined();
    await running.close();
    running = swarms(world.restarted());
    running.recover();
    await running.close();
    running = swarms(world.restarted());
    expect(world.host.named(kept)).toBeDefined();
  });

  it('is not begun without a source, and loses neither results nor commits where it fails', async () => {
    const none = await run({ tasks: tasks('exit 1'), merge_strategy: 'sequential' });
    expect(world.merges).toHaveLength(0);
    expect(none.merge?.error).toContain('nothing to merge');
    world.on.merge = () => {
      throw new CoppiceError({ code: 'git_error', message: 'not a repository' });
    };
    const failed = await run({ tasks: tasks('say a'), merge_strategy: 'sequential' });
    expect(failed.merge?.error).toBe('not a repository');
    expect(failed.tasks[0]?.stdout).toBe('a\n');
    expect(failed.merge?.kept).toEqual([`${failed.swarm_id}-t1`]);
    expect(world.host.named(`${failed.swarm_id}-t1`)).toBeDefined();
  });

  it('has its target looked at before anything is forked', async () => {
    const input = swarmOf({
      tasks: tasks('say a'),
      merge_strategy: 'sequential',
      merge_target: 'none',
    });
    await expect(running.start(input, agent)).rejects.toMatchObject({ code: 'not_found' });
    const gold = world.workspaces.get('golden-id');
    if (gold !== undefined) world.workspaces.set('golden-id', { ...gold, state: 'stopped' });
    const stopped = swarmOf({ tasks: tasks('say a'), merge_strategy: 'sequential' });
    await expect(running.start(stopped, agent)).rejects.toMatchObject({ code: 'wrong_state' });
    expect(world.peak()).toBe(0);
  });
});

describe('the end of a swarm before its time', () => {
  it('kills what runs and never begins what waits when it is cancelled', async () => {
    const { swarm_id } = await running.start(
      swarmOf({ tasks: tasks('wait', 'say b'), max_parallel: 1, cleanup: false }),
      agent,
    );
    await untilRunning(swarm_id, 1);
    running.cancel(swarm_id, agent);
    const results = await end(swarm_id);
    expect(results).toMatchObject({
      state: 'cancelled',
      error: null,
      tasks: [{ state: 'cancelled' }, { state: 'cancelled', workspace_id: null }],
    });
    expect([...world.jobs.values()].map(({ killed }) => killed)).toEqual([true]);
  });

  it('leaves no worker that was just being made when it was cancelled', async () => {
    const forked = Promise.withResolvers<undefined>();
    world.on.fork = () => forked.promise;
    const { swarm_id } = await running.start(swarmOf({ tasks: tasks('say a') }), agent);
    await expect.poll(() => running.status(swarm_id, agent).counts.forking).toBe(1);
    running.cancel(swarm_id, agent);
    forked.resolve(undefined);
    expect((await end(swarm_id)).state).toBe('cancelled');
    expect([...world.workspaces.keys()]).toEqual(['golden-id']);
  });

  it('tries again at the next start what could not be destroyed', async () => {
    world.on.destroy = () => {
      throw new CoppiceError({ code: 'internal', message: 'storage is away' });
    };
    const results = await run({ tasks: tasks('say a') });
    expect(results.summary.workers_destroyed).toBe(0);
    expect(world.workspaces.size).toBe(2);
    await running.close();
    world.on.destroy = () => undefined;
    running = swarms(world.restarted());
    running.recover();
    const again = await end(results.swarm_id);
    expect(again).toMatchObject({ state: 'done', ended_at: results.ended_at });
    expect(again.summary.workers_destroyed).toBe(1);
    expect(world.workspaces.size).toBe(1);
  });
});

describe('a daemon that ends in the middle of a swarm', () => {
  async function restart(): Promise<void> {
    await running.close();
    running = swarms(world.restarted());
    running.recover();
  }

  it('is followed by one that goes on with the same workers and begins what waited', async () => {
    const { swarm_id } = await running.start(
      swarmOf({ tasks: tasks('wait', 'say b'), max_parallel: 1 }),
      agent,
    );
    await untilRunning(swarm_id, 1);
    await restart();
    const [id = ''] = [...world.jobs.keys()];
    const job = world.jobs.get(id);
    if (job === undefined) throw new Error('no job');
    job.stdout = 'at last\n';
    job.end = { exitCode: 0, signal: null, timedOut: false, stdoutBytes: 8, stderrBytes: 0 };
    const results = await end(swarm_id);
    expect(results.tasks).toMatchObject([
      { success: true, workspace_id: id },
      { success: true, stdout: 'b\n' },
    ]);
    expect([...world.workspaces.keys()]).toEqual(['golden-id']);
  });

  it('is followed by one that finds a worker whose making was not written down', async () => {
    const { swarm_id } = await running.start(swarmOf({ tasks: tasks('wait') }), agent);
    await untilRunning(swarm_id, 1);
    await running.close();
    const [row] = world.rows.tasks(swarm_id);
    world.rows.updateTask(swarm_id, 0, { state: 'forking', workspaceId: null, jobId: null });
    const job = world.jobs.get(row?.workspaceId ?? '');
    if (job === undefined) throw new Error('no job');
    job.end = { exitCode: 0, signal: null, timedOut: false, stdoutBytes: 0, stderrBytes: 0 };
    running = swarms(world.restarted());
    running.recover();
    expect((await end(swarm_id)).tasks[0]).toMatchObject({
      success: true,
      workspace_id: row?.workspaceId,
    });
    expect(world.peak()).toBe(1);
  });

  it('never takes a machine of somebody else for a worker because of its name', async () => {
    const { swarm_id } = await running.start(swarmOf({ tasks: tasks('wait') }), agent);
    await untilRunning(swarm_id, 1);
    await running.close();
    const [row] = world.rows.tasks(swarm_id);
    const worker = world.workspaces.get(row?.workspaceId ?? '');
    if (worker === undefined) throw new Error('no worker');
    world.workspaces.set(worker.id, { ...worker, owner: '1000/other' });
    world.rows.updateTask(swarm_id, 0, { state: 'forking', workspaceId: null, jobId: null });
    world.on.fork = outOfMemory;
    running = swarms(world.restarted());
    running.recover();
    expect((await end(swarm_id)).state).toBe('failed');
    expect(world.workspaces.has(worker.id)).toBe(true);
  });

  it('is followed by one that does not begin tasks whose variables are gone', async () => {
    const { swarm_id } = await running.start(
      swarmOf({ tasks: tasks('wait', 'say b'), max_parallel: 1, env_vars: { A: '1' } }),
      agent,
    );
    await untilRunning(swarm_id, 1);
    await restart();
    running.cancel(swarm_id, { uid: 0, agent: null });
    const results = await end(swarm_id);
    expect(results.tasks.map(({ success }) => success)).toEqual([false, false]);
    expect(world.jobs.size).toBe(1);
    expect(JSON.stringify(world.rows.byId(swarm_id))).not.toContain('"A"');
  });

  it('is followed by one that merges what was not merged yet, and only then', async () => {
    const merging = Promise.withResolvers<never>();
    world.on.merge = () => merging.promise;
    const input = swarmOf({ tasks: tasks('say a'), merge_strategy: 'sequential' });
    const { swarm_id } = await running.start(input, agent);
    await expect.poll(() => running.status(swarm_id, agent).state).toBe('merging');
    const closed = running.close();
    merging.reject(new Error('the daemon ends'));
    await closed;
    expect(world.rows.byId(swarm_id)?.merge).toBeNull();
    world.on.merge = () => ({ reply: { success: true }, unmerged: [] });
    running = swarms(world.restarted());
    running.recover();
    const results = await end(swarm_id);
    expect(results.merge?.detail).toBe('{"success":true}');
    expect(world.merges).toHaveLength(2);
    await running.close();
    running = swarms(world.restarted());
    running.recover();
    expect(running.underWay()).toBe(0);
    expect(world.merges).toHaveLength(2);
  });
});

describe('swarms that ended long ago', () => {
  it('are forgotten, with their files, beyond the newest fifty', async () => {
    const ids: string[] = [];
    for (let number = 0; number < 52; number += 1) {
      ids.push((await run({ tasks: tasks('say a') })).swarm_id);
    }
    const [oldest = '', , third = ''] = ids;
    await expect.poll(() => running.list(agent).length).toBe(50);
    expect(() => running.status(oldest, agent)).toThrow('There is no swarm');
    const { output_dir } = running.status(third, agent);
    expect(existsSync(output_dir)).toBe(true);
    expect(existsSync(path.join(path.dirname(output_dir), oldest))).toBe(false);
  });
});

describe('waiting for a swarm', () => {
  it('ends with its time or its caller, and the swarm goes on', async () => {
    const { swarm_id } = await running.start(swarmOf({ tasks: tasks('wait') }), agent);
    await untilRunning(swarm_id, 1);
    const never = new AbortController().signal;
    const soon = { seconds: 0.05, signal: never, progress: () => undefined };
    const early = await running.results(swarm_id, agent, soon);
    expect(early).toMatchObject({ ended_at: null, tasks: [{ state: 'running', exit_code: -1 }] });
    const leaving = new AbortController();
    const waiting = running.results(swarm_id, agent, {
      seconds: 60,
      signal: leaving.signal,
      progress: () => undefined,
    });
    leaving.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'cancelled' });
    expect(running.status(swarm_id, agent).counts.running).toBe(1);
    running.cancel(swarm_id, agent);
  });

  it('is told how far it is', async () => {
    const said: string[] = [];
    const { swarm_id } = await running.start(swarmOf({ tasks: tasks('say a', 'exit 1') }), agent);
    await running.results(swarm_id, agent, {
      seconds: 10,
      signal: new AbortController().signal,
      progress: (message) => said.push(message),
    });
    expect(said[0]).toContain('0 of 2 tasks ended');
    expect(said).toContain('Clearing up');
    expect(said.some((line) => line.includes('1 failed'))).toBe(true);
  });

  it('gets replies that fit into a frame, with the ends of what is cut', async () => {
    const { swarm_id, output_dir } = await running.start(
      swarmOf({ tasks: tasks(...Array<string>(20).fill('say x')) }),
      agent,
    );
    await end(swarm_id);
    const { appendFileSync } = await import('node:fs');
    for (const { slug } of world.rows.tasks(swarm_id)) {
      const file = path.join(output_dir, slug, 'stdout.txt');
      appendFileSync(file, `${'\u0001'.repeat(2 * 1024 * 1024)}the end\n`);
    }
    const results = await end(swarm_id);
    expect(Buffer.byteLength(JSON.stringify(results))).toBeLessThan(8 * 1024 * 1024);
    for (const { stdout } of results.tasks) {
      expect(stdout.startsWith('x\n')).toBe(true);
      expect(stdout).toContain('[TRUNCATED: 2097162 bytes total');
      expect(stdout.endsWith('the end\n')).toBe(true);
    }
    expect(readFileSync(path.join(output_dir, 'summary.json'), 'utf8')).toContain(swarm_id);
  });
});
