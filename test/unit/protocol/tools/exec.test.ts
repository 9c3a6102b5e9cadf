import { expect, it } from 'vitest';
import { execTool } from '../../../../protocol/tools/exec.ts';
import { execBackgroundTool } from '../../../../protocol/tools/execBackground.ts';
import { failing, fails, use, type Called } from './fakeDaemon.ts';

const on = { workspace_id: 'w' };

const ended = {
  exit_code: -1,
  signal: 9,
  timed_out: true,
  duration_ms: 1,
  stdout_bytes: 10_000,
  stderr_bytes: 0,
  stdout: `${'x'.repeat(9000)}the end\n`,
  stderr: '',
};

it('a time-out quotes its limit and the last of the output, and holds all that was kept', async () => {
  const input = { ...on, command: 'true', timeout_secs: 7 };
  const error = await failing(execTool, input, { exec: () => ended });
  expect([error.kind, error.code]).toEqual(['invalid_request', 'timeout']);
  expect(error.message).toContain('timed out after 7 seconds');
  expect(error.message).toContain('the end');
  expect(error.message.length).toBeLessThan(3000);
  expect(error.next).toContain('exec_background');
  expect(error.details).toMatchObject({ timeout_secs: 7, stdout: ended.stdout, stderr: '' });
});

it('a job that a signal ended has no exit code, in poll and in list', async () => {
  const job = {
    job_id: 1,
    pid: 5,
    command: 'x',
    label: '',
    terminal: false,
    kept: true,
    started_at: '2026-01-02T03:04:05Z',
    running: false,
    exit: { ...ended, timed_out: false },
    stdout_bytes: 0,
    stderr_bytes: 0,
    attached_clients: 0,
  };
  const poll = await use(
    execBackgroundTool,
    { ...on, action: 'poll', job_id: 1 },
    { process_get: () => ({ ...job, stdout: '', stderr: '' }) },
  );
  expect(poll.structured).toMatchObject({ running: false, exit_code: null, signal: 9 });
  const others = [
    { ...job, job_id: 2, kept: false },
    { ...job, job_id: 3, terminal: true },
  ];
  const list = await use(
    execBackgroundTool,
    { ...on, action: 'list' },
    { process_list: () => [job, ...others] },
  );
  expect(list.structured['jobs']).toMatchObject([
    { job_id: 1, exit_code: null, started_at: '2026-01-02T03:04:05.000+00:00' },
  ]);
});

it('kill succeeds on a job that has ended, and only on that', async () => {
  const kill = { ...on, action: 'kill', job_id: 1 };
  const gone = { process_signal: fails('wrong_state', { word: 'ended' }), process_get: () => ({}) };
  expect((await use(execBackgroundTool, kill, gone)).text).toBe(
    '{"job_id":1,"status":"killed","signal":9}',
  );
  const stopped = await failing(execBackgroundTool, kill, {
    process_signal: fails('wrong_state', { state: 'stopped' }),
  });
  expect([stopped.kind, stopped.code]).toEqual(['invalid_request', 'wrong_state']);
});

it('each call of a keyed tool has a key of its own', async () => {
  const calls: Called[] = [];
  await use(
    execBackgroundTool,
    { ...on, action: 'kill', job_id: 1, idempotency_key: 'k' },
    { process_signal: () => ({ job_id: 1, signal: 9 }), process_get: () => ({}) },
    calls,
  );
  expect(calls.map(({ name, key }) => `${name} ${String(key)}`)).toEqual([
    'process_signal k/1',
    'process_get k/2',
  ]);
});
