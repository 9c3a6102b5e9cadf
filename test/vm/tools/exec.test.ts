import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { make, openToolBed, sh, type Made, type ToolBed } from './toolBed.ts';

let bed: ToolBed;
let box: Made;
const on = { workspace_id: 'box' };

interface Ran {
  readonly exit_code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly note?: string;
}

interface Polled extends Ran {
  readonly job_id: number;
  readonly running: boolean;
  readonly stdout_bytes: number;
  readonly signal?: number;
}

beforeAll(async () => {
  bed = await openToolBed();
  box = await make(bed.agent, 'box');
});
afterAll(async () => {
  await bed.dispose();
});

const exec = (command: string, more: object = {}): Promise<Ran> =>
  bed.agent.ok<Ran & Record<string, unknown>>('exec', { ...on, command, ...more });
const refused = (more: object) => bed.agent.failure('exec', { ...on, command: 'true', ...more });

/** The most memory the daemon has had, in MiB. */
function daemonPeakMib(): number {
  const status = readFileSync(`/proc/${String(bed.daemon.pid())}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
}

async function agentMib(): Promise<number> {
  const kib = await sh(bed.agent, 'box', "awk '/VmRSS/ {print $2}' /proc/1/status");
  return Number(kib) / 1024;
}

describe('exec', () => {
  it('answers with code and output, and takes every parameter of the contract', async () => {
    const { text, structured } = await bed.agent.tool('exec', {
      workspace_id: box.workspace_id,
      command: 'pwd; echo "$A"; echo problem >&2; exit 3',
      workdir: '/tmp',
      env: { A: 'a b' },
      timeout_secs: 30,
      max_output_bytes: 1000,
    });
    expect(text).toBe('{"exit_code":3,"stdout":"/tmp\\na b\\n","stderr":"problem\\n"}');
    expect(structured).toEqual({ exit_code: 3, stdout: '/tmp\na b\n', stderr: 'problem\n' });
    expect(await exec('printf "a\\377b"')).toMatchObject({ stdout: 'a�b' });
    expect(await exec('kill -9 $$')).toMatchObject({ exit_code: -1, signal: 9 });
  });

  it('fails as a wrong request when the command cannot be run, and says that nothing has', async () => {
    expect(await refused({ workdir: '/no/such' })).toMatchObject({
      kind: 'invalid_request',
      code: 'not_started',
    });
    expect(await refused({ output_file: '/tmp' })).toMatchObject({
      kind: 'invalid_request',
      code: 'not_started',
    });
    for (const name of ['PATH', 'IFS', 'ENV', 'BASH_ENV', 'LD_PRELOAD', 'LD_', '1A', 'a-b']) {
      const failure = await refused({ env: { [name]: 'x' } });
      expect(failure, name).toMatchObject({ kind: 'invalid_params' });
      expect(failure.message).toContain(name);
    }
    expect(await refused({ timeout_secs: 0 })).toMatchObject({ kind: 'invalid_params' });
    expect(await refused({ workspace_id: 'no-such' })).toMatchObject({
      kind: 'invalid_request',
      code: 'not_found',
    });
  });

  it('ends what takes too long with all it started, and keeps what it wrote', async () => {
    const failure = await refused({
      command: 'echo begun; echo warning >&2; sleep 4321 & sleep 4321',
      timeout_secs: 1,
    });
    expect(failure).toMatchObject({
      kind: 'invalid_request',
      code: 'timeout',
      details: { timeout_secs: 1, stdout: 'begun\n', stderr: 'warning\n' },
    });
    expect(failure.message).toMatch(/timed out after 1 seconds.*begun.*warning/s);
    expect(failure.next).toContain('exec_background');
    expect(await sh(bed.agent, 'box', 'pgrep -f "sleep 432[1]" || echo gone')).toBe('gone');
  });

  it('does not wait for what is left in the background', async () => {
    expect(await exec('sleep 60 & echo done', { timeout_secs: 30 })).toMatchObject({
      exit_code: 0,
      stdout: 'done\n',
    });
  });

  it('returns a mebibyte whole where that is allowed, else both ends and how to get the rest', async () => {
    const whole = await exec('yes 123456789abcdef | head -c 1048576', {
      max_output_bytes: 2 * 1024 * 1024,
    });
    expect(whole.stdout).toBe('123456789abcdef\n'.repeat(65_536));
    expect(whole.note).toBeUndefined();
    const cut = await exec('echo first; yes | head -c 1048576; echo last');
    expect(cut.stdout.startsWith('first\ny\n')).toBe(true);
    expect(cut.stdout.endsWith('y\nlast\n')).toBe(true);
    expect(cut.stdout).toContain('\n[TRUNCATED: 1048587 bytes total, showing first 131072 bytes');
    expect(cut).toMatchObject({ stdout_bytes: 1_048_587, stderr_bytes: 0 });
    expect(cut.note).toMatch(/stdout was 1048587 bytes.*output_file.*max_output_bytes/s);
  });

  // Under emulation on a busy host that is minutes.
  it('writes a gibibyte to a file in the machine, and neither agent nor daemon grow', async () => {
    const file = '/root/out';
    await exec('true');
    const before = { daemon: daemonPeakMib(), agent: await agentMib() };
    const ran = await exec(
      `python3 -c "import os; [os.write(1, b'y\\n' * 65536) for _ in range(8192)]"; echo last; echo problem >&2`,
      { output_file: file, timeout_secs: 1200 },
    );
    expect(ran).toMatchObject({ exit_code: 0, stderr: 'problem\n', output_file: file });
    expect(ran.stdout.endsWith('y\nlast\n')).toBe(true);
    expect(ran.note).toContain(`stdout was 1073741829 bytes`);
    expect(ran.note).toContain(file);
    expect(await sh(bed.agent, 'box', `stat -c %s ${file} ${file}.stderr`)).toBe('1073741829\n8');
    const tail = { ...on, path: file, offset: 1_073_741_824 };
    expect((await bed.agent.tool('file_read', tail)).text).toBe('last\n');
    expect(daemonPeakMib() - before.daemon).toBeLessThan(16);
    expect((await agentMib()) - before.agent).toBeLessThan(8);
    await sh(bed.agent, 'box', `rm ${file} ${file}.stderr`);
  }, 1_300_000);
});

describe('set_env', () => {
  it('sets variables for everything that is started afterwards', async () => {
    const { agent } = bed;
    const reply = await agent.tool('set_env', { ...on, vars: { TOKEN: 'secret', B: 'set' } });
    expect(reply.text).toBe('{"count":2,"status":"set"}');
    expect(await exec('echo $TOKEN $B', { env: { B: 'own' } })).toMatchObject({
      stdout: 'secret own\n',
    });
    const { job_id } = await agent.ok('exec_background', {
      ...on,
      action: 'start',
      command: 'echo $TOKEN',
    });
    expect(
      await agent.ok('exec_background', { ...on, action: 'poll', job_id, wait_secs: 60 }),
    ).toMatchObject({ stdout: 'secret\n' });
  });

  it('sets all of them or none', async () => {
    const { agent } = bed;
    for (const vars of [
      { GOOD: '1', PATH: '/x' },
      { GOOD: '1', 'not-good': '1' },
    ]) {
      expect(await agent.failure('set_env', { ...on, vars })).toMatchObject({
        kind: 'invalid_params',
      });
    }
    const large = { GOOD: '1', LARGE: 'x'.repeat(200_000) };
    expect(await agent.failure('set_env', { ...on, vars: large })).toMatchObject({
      kind: 'invalid_request',
      code: 'limit_exceeded',
    });
    expect(await exec('echo "[$GOOD]"')).toMatchObject({ stdout: '[]\n' });
  });

  it('lasts over a suspend and another daemon, not over a stop, and is in no log', async () => {
    const { agent, daemon } = bed;
    const client = await daemon.connect();
    await client.call('workspace_suspend', on);
    await client.call('workspace_resume', on);
    client.close();
    expect(await exec('echo $TOKEN')).toMatchObject({ stdout: 'secret\n' });
    await daemon.kill();
    await daemon.start();
    expect(await exec('echo $TOKEN')).toMatchObject({ stdout: 'secret\n' });
    await agent.ok('workspace_stop', on);
    await agent.ok('workspace_start', on);
    expect(await exec('echo "[$TOKEN]"')).toMatchObject({ stdout: '[]\n' });
    expect(readFileSync(daemon.paths.log, 'utf8')).not.toContain('secret');
    expect(readFileSync(daemon.paths.database).includes('secret')).toBe(false);
  });
});

describe('exec_background', () => {
  const background = (action: string, more: object = {}): Promise<Polled> =>
    bed.agent.ok<Polled & Record<string, unknown>>('exec_background', { ...on, action, ...more });
  const fails = (action: string, more: object = {}) =>
    bed.agent.failure('exec_background', { ...on, action, ...more });
  async function start(command: string, more: object = {}): Promise<number> {
    return (await background('start', { command, ...more })).job_id;
  }

  it('starts at once, shows output while it runs, and the same end however often it is asked', async () => {
    const started = await bed.agent.tool<Polled>('exec_background', {
      ...on,
      action: 'start',
      command: 'echo one; until [ -e /tmp/go ]; do sleep 0.1; done; echo two; echo e >&2; exit 4',
      workdir: '/tmp',
    });
    const { job_id } = started.structured;
    expect(started.text).toBe(`{"job_id":${String(job_id)},"status":"started"}`);
    await expect
      .poll(() => background('poll', { job_id }), { timeout: 30_000 })
      .toMatchObject({ job_id, running: true, exit_code: null, stdout: 'one\n', stderr: '' });
    await exec('touch /tmp/go');
    const ended = { job_id, running: false, exit_code: 4, stdout: 'one\ntwo\n', stderr: 'e\n' };
    expect(await background('poll', { job_id, wait_secs: 60 })).toMatchObject(ended);
    expect(await background('poll', { job_id })).toMatchObject(ended);
    expect(await background('poll', { job_id, stdout_offset: 4 })).toMatchObject({
      stdout: 'two\n',
      stdout_bytes: 8,
    });
  });

  it('wakes who waits at an offset as soon as there is more', async () => {
    const job_id = await start('echo a; sleep 0.5; echo b; sleep 600');
    const first = await background('poll', { job_id, stdout_offset: 0, wait_secs: 60 });
    const more = await background('poll', {
      job_id,
      stdout_offset: first.stdout_bytes,
      wait_secs: 60,
    });
    expect([first.stdout + more.stdout, more.running]).toEqual(['a\nb\n', true]);
    await background('kill', { job_id });
  });

  it('is killed with everything it started, and once more without harm', async () => {
    const job_id = await start('sleep 5432 & sleep 5432');
    for (let time = 0; time < 2; time += 1) {
      expect(await background('kill', { job_id })).toEqual({
        job_id,
        signal: 9,
        status: 'killed',
      });
    }
    expect(await background('poll', { job_id })).toMatchObject({
      running: false,
      exit_code: null,
      signal: 9,
    });
    expect(await sh(bed.agent, 'box', 'pgrep -f "sleep 543[2]" || echo gone')).toBe('gone');
    const trapped = await start('trap "exit 5" TERM; echo ready; while :; do sleep 0.1; done');
    await background('poll', { job_id: trapped, stdout_offset: 0, wait_secs: 60 });
    await background('kill', { job_id: trapped, signal: 15 });
    expect(await background('poll', { job_id: trapped, wait_secs: 60 })).toMatchObject({
      exit_code: 5,
    });
  });

  it('lists jobs, and writes all of their output to a file where one is named', async () => {
    const job_id = await start('yes | head -c 1048576; echo last', { output_file: '/root/job' });
    const ended = await background('poll', { job_id, wait_secs: 60 });
    expect(ended).toMatchObject({ stdout_bytes: 1_048_581, output_file: '/root/job' });
    expect(ended.stdout).toContain('[TRUNCATED: 1048581 bytes total');
    expect(await sh(bed.agent, 'box', 'stat -c %s /root/job')).toBe('1048581');
    const { jobs } = await bed.agent.ok<{ jobs: readonly Polled[] }>('exec_background', {
      ...on,
      action: 'list',
    });
    expect(jobs.find((job) => job.job_id === job_id)).toMatchObject({
      running: false,
      exit_code: 0,
      command: 'yes | head -c 1048576; echo last',
      output_file: '/root/job',
    });
  });

  it('calls every misuse a wrong request', async () => {
    for (const [action, more] of [
      ['start', {}],
      ['poll', {}],
      ['kill', {}],
      ['restart', {}],
      ['poll', { job_id: 999_999 }],
      ['kill', { job_id: 999_999 }],
      ['start', { command: 'true', workdir: '/no/such' }],
    ] as const) {
      expect(await fails(action, more), action).toMatchObject({ kind: 'invalid_request' });
    }
    expect(await fails('start', { command: 'true', env: { PATH: 'x' } })).toMatchObject({
      kind: 'invalid_params',
    });
  });
});

describe('what happens when the machine ends in the middle', () => {
  it('is an unknown outcome for a command that ran, and no start for one that comes after', async () => {
    const { agent, daemon } = bed;
    const running = agent.failure('exec', { ...on, command: 'touch /tmp/begun; sleep 600' });
    await expect
      .poll(() => sh(agent, 'box', 'ls /tmp/begun 2>/dev/null || true'), { timeout: 30_000 })
      .toBe('/tmp/begun');
    const [machine, ...more] = daemon.machines();
    if (machine === undefined || more.length > 0) throw new Error('not one machine');
    process.kill(machine, 'SIGKILL');
    expect(await running).toMatchObject({ kind: 'invalid_request', code: 'outcome_unknown' });
    await expect
      .poll(async () => (await agent.ok('workspace_info', on))['state'], { timeout: 30_000 })
      .toBe('stopped');
    expect(await refused({})).toMatchObject({ kind: 'invalid_request', code: 'wrong_state' });
    await agent.ok('workspace_start', on);
    expect(await exec('echo again')).toMatchObject({ stdout: 'again\n' });
  });
});
