import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { CoppiceClient } from '../../../helper-daemon/client/client.ts';
import type { InputOf, OutputOf } from '../../../protocol/operations.ts';
import { cliFor } from '../support/cliRunner.ts';
import { startTestDaemon, type TestDaemon } from '../support/testDaemon.ts';
import { refusal, sh } from '../support/workspaceSteps.ts';
import { small, until } from './steps.ts';

type Results = OutputOf<'swarm_results'>;

let daemon: TestDaemon;
let client: CoppiceClient;

beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterEach(async () => {
  await daemon.clean();
});
afterAll(async () => {
  await daemon.dispose();
});

async function prepare(): Promise<void> {
  client = await daemon.connect();
  await client.call('workspace_prepare', {
    name: 'gold',
    ...small,
    setup_commands: ['mkdir -p /workspace && echo golden > /workspace/file'],
  });
}

async function start(input: Partial<InputOf<'swarm_start'>>): Promise<string> {
  const { swarm_id } = await client.call('swarm_start', {
    golden_workspace: 'gold',
    snapshot_name: 'prepared',
    tasks: [],
    ...input,
  });
  return swarm_id;
}

async function end(swarm_id: string): Promise<Results> {
  for (;;) {
    const results = await client.call('swarm_results', { swarm_id, wait_secs: 60 });
    if (results.ended_at !== null) return results;
  }
}

async function names(): Promise<string[]> {
  return (await client.call('workspace_list', {})).map(({ name }) => name).sort();
}

describe('a swarm', () => {
  it('runs every task in a live copy of its own and leaves only what the tasks left', async () => {
    await prepare();
    const swarm_id = await start({
      env_vars: { SHARED: 'for all', TOKEN: 'secret-value' },
      shared_context: 'what all should know',
      max_parallel: 2,
      timeout_secs: 60,
      tasks: [
        {
          name: 'good one',
          command:
            'cat file; echo $SHARED $OWN; cat /tmp/shared_context.md; echo " $SHARED_CONTEXT"; mkdir out; echo fruit > out/apple',
          env: { OWN: 'mine' },
          artifacts: ['/workspace/out', '/workspace/file', '/workspace/none'],
        },
        { name: 'bad', command: 'echo oh no >&2; exit 7' },
        { name: 'late', command: 'echo begun; until [ -e /run/go ]; do sleep 0.1; done; exit 5' },
        { name: 'where', command: 'pwd', workdir: '/etc' },
      ],
    });
    expect(swarm_id).toMatch(/^swarm-\d{8}-\d{6}/);
    await until(async () => {
      const { tasks } = await client.call('swarm_status', { swarm_id });
      return tasks.some(({ name, state }) => name === 'late' && state === 'running');
    });
    const late = `${swarm_id}-late`;
    expect(await client.call('workspace_info', { workspace_id: late })).toMatchObject({
      forked_from: { source_workspace_name: 'gold', snapshot_name: 'golden', live: true },
    });
    await sh(client, late, 'touch /run/go');
    const results = await end(swarm_id);
    expect(results).toMatchObject({
      state: 'done',
      golden_workspace: 'gold',
      snapshot_name: 'golden',
      error: null,
      summary: { total_tasks: 4, succeeded: 2, failed: 2, workers_destroyed: 4, mcp_bridge: false },
    });
    const task = (name: string): Results['tasks'][number] =>
      results.tasks.find((one) => one.name === name) as Results['tasks'][number];
    expect(results.tasks.map(({ name }) => name)).toEqual(['bad', 'good one', 'late', 'where']);
    expect(task('good one')).toMatchObject({
      success: true,
      exit_code: 0,
      stdout: 'golden\nfor all mine\nwhat all should know what all should know\n',
      stderr: '',
    });
    expect(task('bad')).toMatchObject({ success: false, exit_code: 7, stderr: 'oh no\n' });
    expect(task('late')).toMatchObject({ success: false, exit_code: 5, stdout: 'begun\n' });
    expect(task('where').stdout).toBe('/etc\n');
    const [out, file, none] = task('good one').artifacts;
    expect(readFileSync(out?.file ?? '').includes('fruit')).toBe(true);
    expect(readFileSync(file?.file ?? '', 'utf8')).toBe('golden\n');
    expect(none).toMatchObject({ file: null, error: expect.stringContaining('none') as string });
    expect(await names()).toEqual(['gold']);
    const meta = path.join(results.output_dir, '2-bad', 'meta.json');
    expect(JSON.parse(readFileSync(meta, 'utf8'))).toMatchObject({ name: 'bad', exit_code: 7 });
    const summary = readFileSync(path.join(results.output_dir, 'summary.json'), 'utf8');
    expect(JSON.parse(summary)).toMatchObject({ swarm_id, state: 'done' });
    // Variables are kept in the memory of machines alone.
    expect(summary).not.toContain('secret-value');
    for (const part of ['', '-wal']) {
      expect(readFileSync(`${daemon.paths.database}${part}`).includes('secret-value')).toBe(false);
    }
  });

  it('ends what takes too long, keeps workers that are to be kept, and gives out large output whole', async () => {
    await prepare();
    const swarm_id = await start({
      cleanup: false,
      timeout_secs: 20,
      tasks: [
        { name: 'long', command: 'echo waiting; sleep 600' },
        { name: 'large', command: 'seq 1 400000' },
      ],
    });
    const results = await end(swarm_id);
    const [large, long] = results.tasks;
    expect(long).toMatchObject({ exit_code: -1, timed_out: true, success: false });
    expect(long?.stderr).toContain('Timed out after 20 s.');
    expect(large?.stdout).toContain('[TRUNCATED: 2688895 bytes total');
    expect(large?.stdout.startsWith('1\n2\n')).toBe(true);
    expect(large?.stdout.endsWith('\n400000\n')).toBe(true);
    const whole = readFileSync(path.join(results.output_dir, '2-large', 'stdout.txt'), 'utf8');
    expect(whole).toBe(
      Array.from({ length: 400_000 }, (_, index) => `${String(index + 1)}\n`).join(''),
    );
    expect(results.summary.workers_destroyed).toBe(0);
    expect(await names()).toEqual(['gold', `${swarm_id}-large`, `${swarm_id}-long`]);
    expect(await sh(client, `${swarm_id}-large`, 'cat /workspace/file')).toBe('golden');
  });

  it('refuses before anything is made', async () => {
    await prepare();
    const before = await client.call('swarm_list', {});
    const tasks = [{ name: 'one', command: 'true' }];
    const refused = async (input: Partial<InputOf<'swarm_start'>>): Promise<string> =>
      (await refusal(start({ tasks, ...input }))).code;
    expect(await refused({ snapshot_name: 'none' })).toBe('not_found');
    expect(await refused({ golden_workspace: 'none' })).toBe('not_found');
    expect(await refused({ merge_strategy: 'sequential', merge_target: 'none' })).toBe('not_found');
    expect(await refused({ max_parallel: 0 })).toBe('invalid_input');
    expect(await refused({ tasks: [...tasks, ...tasks] })).toBe('invalid_input');
    expect(await refused({ mcp_bridge: true })).toBe('prerequisite_missing');
    expect(await client.call('swarm_list', {})).toEqual(before);
    expect(await names()).toEqual(['gold']);
  });

  it('is cancelled: what runs is killed, what waits is never begun, nothing stays', async () => {
    await prepare();
    const swarm_id = await start({
      max_parallel: 1,
      tasks: [
        { name: 'runs', command: 'echo here; sleep 600' },
        { name: 'waits', command: 'true' },
      ],
    });
    await until(async () => {
      const { counts } = await client.call('swarm_status', { swarm_id });
      return counts.running === 1;
    });
    await client.call('swarm_cancel', { swarm_id });
    const results = await end(swarm_id);
    expect(results.state).toBe('cancelled');
    expect(results.tasks).toMatchObject([
      { name: 'runs', state: 'cancelled' },
      { name: 'waits', state: 'cancelled', workspace_id: null },
    ]);
    expect(await names()).toEqual(['gold']);
    expect(daemon.machines()).toHaveLength(1);
  });

  it('goes on when its caller goes away', async () => {
    await prepare();
    const leaving = await daemon.connect();
    const { swarm_id } = await leaving.call('swarm_start', {
      golden_workspace: 'gold',
      tasks: [{ name: 'one', command: 'sleep 2; echo done' }],
    });
    leaving.call('swarm_results', { swarm_id, wait_secs: 60 }).catch(() => undefined);
    leaving.close();
    expect(await end(swarm_id)).toMatchObject({ state: 'done', tasks: [{ stdout: 'done\n' }] });
  });
});

describe('a daemon killed in the middle of a swarm', () => {
  it.each([300, 1200, 2500, 5000])(
    'goes on with it, loses no output and leaks nothing (killed after %i ms)',
    async (milliseconds) => {
      await prepare();
      const command = 'for i in $(seq 1 40); do echo line $i; sleep 0.1; done';
      const swarm_id = await start({
        max_parallel: 2,
        tasks: ['a', 'b', 'c'].map((name) => ({ name, command })),
      });
      await new Promise((resolve) => setTimeout(resolve, milliseconds));
      await daemon.kill();
      await daemon.start();
      client = await daemon.connect();
      const results = await end(swarm_id);
      expect(results.state).toBe('done');
      const whole = Array.from({ length: 40 }, (_, index) => `line ${String(index + 1)}\n`);
      for (const task of results.tasks) {
        // One that was killed between being forked and being begun says so.
        if (task.success) expect(task.stdout).toBe(whole.join(''));
        else expect(task.stderr).toContain('Interrupted');
      }
      expect(results.tasks.filter(({ success }) => success).length).toBeGreaterThanOrEqual(1);
      expect(await names()).toEqual(['gold']);
      expect(daemon.machines()).toHaveLength(1);
    },
  );

  it('ends what it cannot go on with: variables are gone with the daemon', async () => {
    await prepare();
    const swarm_id = await start({
      max_parallel: 1,
      env_vars: { KEY: 'only in memory' },
      tasks: [
        { name: 'a', command: 'sleep 4; echo $KEY' },
        { name: 'b', command: 'echo $KEY' },
      ],
    });
    await until(async () => {
      const { counts } = await client.call('swarm_status', { swarm_id });
      return counts.running === 1;
    });
    await daemon.kill();
    await daemon.start();
    client = await daemon.connect();
    const { tasks } = await end(swarm_id);
    expect(tasks[0]).toMatchObject({ success: true, stdout: 'only in memory\n' });
    expect(tasks[1]).toMatchObject({ success: false, workspace_id: null });
    expect(tasks[1]?.stderr).toContain('kept in memory only');
    expect(await names()).toEqual(['gold']);
  });

  it('finishes a cancelled one', async () => {
    await prepare();
    const swarm_id = await start({ tasks: [{ name: 'a', command: 'sleep 600' }] });
    await until(async () => {
      const { counts } = await client.call('swarm_status', { swarm_id });
      return counts.running === 1;
    });
    client.call('swarm_cancel', { swarm_id }).catch(() => undefined);
    await until(async () => (await client.call('swarm_status', { swarm_id })).state !== 'running');
    await daemon.kill();
    await daemon.start();
    client = await daemon.connect();
    expect(await end(swarm_id)).toMatchObject({ state: 'cancelled' });
    expect(await names()).toEqual(['gold']);
  });
});

describe('coppice swarm', () => {
  it('prepares, runs tasks, shows them, and tells by its exit code how they ended', async () => {
    client = await daemon.connect();
    const cli = cliFor(daemon.home);
    const setup = ['--setup', 'mkdir -p /workspace', '--setup', 'echo golden > /workspace/file'];
    const size = ['--vcpus', '1', '--memory-mb', String(small.memory_mb)];
    expect(await cli.ok('prepare', 'gold', ...size, ...setup)).toContain('gold is prepared');
    const ran = await cli.run([
      'swarm',
      'run',
      'gold',
      '--task',
      'good=cat /workspace/file',
      '--task',
      'bad=echo wrong >&2; exit 3',
      '--parallel',
      '2',
    ]);
    expect(ran.code).toBe(75);
    expect(ran.stdout).toMatch(/good\s+done\s+0 .*golden/);
    expect(ran.stdout).toContain('1 task succeeded, 1 failed');
    expect(ran.stderr).toContain('bad (exit 3): wrong');
    const [id = ''] = ran.stdout.split(' ');
    expect(await cli.ok('swarm', 'status', id)).toMatch(/bad\s+failed\s+3/);
    expect(await cli.ok('swarm', 'list')).toContain(id);
    const read = await cli.run(['--json', 'swarm', 'results', id]);
    expect(read.code).toBe(75);
    const results = JSON.parse(read.stdout) as Results;
    expect(results.summary).toMatchObject({ succeeded: 1, failed: 1 });
    expect(existsSync(results.output_dir)).toBe(true);
  });
});
