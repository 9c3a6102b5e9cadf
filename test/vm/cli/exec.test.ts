import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cliFor, type Cli } from '../support/cliRunner.ts';
import { startTestDaemon, type TestDaemon } from '../support/testDaemon.ts';

let daemon: TestDaemon;
let cli: Cli;
beforeAll(async () => {
  daemon = await startTestDaemon();
  cli = cliFor(daemon.home);
  await cli.ok('create', 'demo');
});
afterAll(async () => {
  await daemon.dispose();
});

describe('coppice exec', () => {
  it.each([
    ['the exit code of a shell command', ['exec', 'demo', '--', 'exit 7'], 7],
    ['the exit code of a program', ['exec', 'demo', '--', 'false'], 1],
    ['128 + n for a signal', ['exec', 'demo', '--', 'kill -9 $$'], 137],
    ['124 when its time runs out', ['exec', 'demo', '--timeout', '1', '--', 'sleep 60'], 124],
    ['127 for a program that does not exist', ['exec', 'demo', '--', 'no-such-program', 'x'], 127],
    ['126 for one that cannot be run', ['exec', 'demo', '--', '/etc/passwd', 'x'], 126],
    ['125 for a machine that does not exist', ['exec', 'nobody', '--', 'true'], 125],
    ['2 for a wrong command line', ['exec', 'demo', '--nope', '--', 'true'], 2],
  ])('ends with %s', async (_, args, code) => {
    expect((await cli.run(args)).code).toBe(code);
  });

  it('keeps stdout and stderr apart', async () => {
    const { stdout, stderr } = await cli.run(['exec', 'demo', '--', 'echo out; echo err >&2']);
    expect([stdout, stderr]).toEqual(['out\n', 'err\n']);
  });

  it('takes several words as they are and one as a shell command', async () => {
    expect(await cli.ok('exec', 'demo', '--', 'echo', '$HOME', "it's", '*')).toBe("$HOME it's *\n");
    expect(await cli.ok('exec', 'demo', '--', 'echo $((6 * 7)) | cat')).toBe('42\n');
  });

  it('carries any bytes both ways', async () => {
    const input = randomBytes(20_000_000);
    const { code, bytes } = await cli.run(['exec', 'demo', 'cat'], { input });
    expect(code).toBe(0);
    expect(bytes.equals(input)).toBe(true);
  });

  it('sets variables, directory and user', async () => {
    const said = await cli.ok(
      'exec',
      'demo',
      '-e',
      'A=one two',
      '-w',
      '/tmp',
      '-u',
      'nobody',
      '--',
      'echo "$A $(pwd) $(id -un)"',
    );
    expect(said).toBe('one two /tmp nobody\n');
  });

  it('kills everything the command started when its time is over', async () => {
    await cli.run(['exec', 'demo', '--timeout', '1', '--', 'sleep 1234 & sleep 1234 & wait']);
    expect((await cli.run(['exec', 'demo', '--', 'pgrep -fx "sleep 1234"'])).stdout).toBe('');
  });

  it('kills the command when the client is killed', async () => {
    const { child, done } = cli.start(['exec', 'demo', '--', 'echo here; exec sleep 4321']);
    await new Promise((resolve) => child.stdout.once('data', resolve));
    child.kill('SIGKILL');
    await done;
    await expect
      .poll(async () => (await cli.run(['exec', 'demo', '--', 'pgrep -fx "sleep 4321"'])).stdout, {
        timeout: 20_000,
      })
      .toBe('');
  });

  it('hands SIGINT and SIGTERM to the command', async () => {
    for (const [name, code] of [
      ['SIGINT', 42],
      ['SIGTERM', 43],
    ] as const) {
      const { child, done } = cli.start([
        'exec',
        'demo',
        '--',
        'trap "exit 42" INT; trap "exit 43" TERM; echo ready; while :; do sleep 0.1; done',
      ]);
      await new Promise((resolve) => child.stdout.once('data', resolve));
      child.kill(name);
      expect((await done).code).toBe(code);
    }
  });

  it('streams 300 MB to a reader that only wants its end', async () => {
    const { child, done } = cli.start([
      'exec',
      'demo',
      '--',
      'head -c 300000000 /dev/zero; echo end',
    ]);
    let total = 0;
    let tail = Buffer.alloc(0);
    child.stdout.removeAllListeners('data');
    child.stdout.on('data', (data: Buffer) => {
      total += data.length;
      tail = Buffer.concat([tail, data]).subarray(-4);
    });
    expect((await done).code).toBe(0);
    expect([total, tail.toString()]).toEqual([300_000_004, 'end\n']);
  });
});

describe('jobs', () => {
  it('run on, can be listed, watched, killed and forgotten', async () => {
    const { job_id } = await cli.json<{ job_id: number }>(
      'jobs',
      'start',
      'demo',
      '--label',
      'ticker',
      '--',
      'i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.2; done',
    );
    const id = String(job_id);
    expect(await cli.ok('jobs', 'list', 'demo')).toMatch(
      new RegExp(`${id} +running +job .*\\[ticker\\]`),
    );
    await expect
      .poll(async () => await cli.ok('jobs', 'show', 'demo', id), { timeout: 20_000 })
      .toContain('tick 2');
    const { child, done } = cli.start(['jobs', 'attach', 'demo', id]);
    await new Promise((resolve) => child.stdout.once('data', resolve));
    child.kill('SIGINT');
    const left = await done;
    expect(left.code).toBe(0);
    expect(left.stdout).toContain('tick 1');
    expect(left.stderr).toContain('The job goes on');
    expect((await cli.run(['jobs', 'remove', 'demo', id])).code).toBe(125);
    await cli.ok('jobs', 'kill', 'demo', id, '-s', '9');
    const shown = await cli.json<{ running: boolean; exit: { signal: number } }>(
      'jobs',
      'show',
      'demo',
      id,
      '--wait',
      '20',
    );
    expect(shown).toMatchObject({ running: false, exit: { signal: 9 } });
    expect((await cli.run(['jobs', 'attach', 'demo', id])).code).toBe(137);
    await cli.ok('jobs', 'remove', 'demo', id);
    expect((await cli.run(['jobs', 'show', 'demo', id])).code).toBe(125);
  });
});

describe('--json', () => {
  it.each([
    [['list']],
    [['info', 'demo']],
    [['stats', 'demo']],
    [['status']],
    [['image', 'list']],
    [['jobs', 'list', 'demo']],
    [['ls', 'demo', '/etc']],
    [['stat', 'demo', '/etc/passwd']],
    [['logs', 'demo']],
    [['daemon', 'status']],
    [['daemon', 'start']],
    [['read', 'demo', '/etc/hostname']],
    [['search', 'demo', '/etc/apt', 'deb', '--max-results', '2']],
    [['exec', 'demo', 'true']],
  ])('%j prints one JSON value', async (args) => {
    const { code, stdout, stderr } = await cli.run([
      ...args.slice(0, 1),
      ...args.slice(1, 2),
      '--json',
      ...args.slice(2),
    ]);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout.trim().split('\n')).toHaveLength(1);
    expect(JSON.parse(stdout)).toBeTypeOf('object');
  });
});
