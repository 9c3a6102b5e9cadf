import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { make, openToolBed, sh, type Made, type ToolBed } from './toolBed.ts';

let bed: ToolBed;
let one: Made;
let two: Made;

interface Row {
  readonly workspace_name: string;
  readonly exit_code: number;
  readonly stdout: string;
  readonly stderr: string;
}

interface Reply {
  readonly results: readonly Row[];
  readonly summary: Readonly<Record<string, number>>;
}

beforeAll(async () => {
  bed = await openToolBed();
  one = await make(bed.agent, 'one');
  two = await make(bed.agent, 'two');
});
afterAll(async () => {
  await bed.dispose();
});

const run = (input: object) =>
  bed.agent.ok<Reply & Record<string, unknown>>('exec_parallel', { ...input });

it('runs one command everywhere, and answers in the order of the workspaces', async () => {
  const steps: string[] = [];
  const { results, summary } = await bed.agent.ok<Reply & Record<string, unknown>>(
    'exec_parallel',
    {
      workspace_ids: ['two', one.workspace_id],
      // The first in the list ends last.
      commands: '[ "$(hostname)" = one ] || sleep 1; echo "$(hostname) $PWD $A"',
      workdir: '/tmp',
      env: { A: 'a' },
    },
    { onProgress: ({ message }) => steps.push(message ?? '') },
  );
  expect(results).toEqual([
    {
      workspace_id: two.workspace_id,
      workspace_name: 'two',
      exit_code: 0,
      stdout: 'two /tmp a\n',
      stderr: '',
      timed_out: false,
    },
    {
      workspace_id: one.workspace_id,
      workspace_name: 'one',
      exit_code: 0,
      stdout: 'one /tmp a\n',
      stderr: '',
      timed_out: false,
    },
  ]);
  expect(summary).toEqual({
    total: 2,
    succeeded: 2,
    failed: 0,
    timed_out: 0,
    elapsed_ms: expect.any(Number) as number,
  });
  expect(steps.some((step) => step.includes('1 of 2 done'))).toBe(true);
});

it('runs a command of its own in each, and what fails in one is a row', async () => {
  await bed.agent.ok('workspace_stop', { workspace_id: 'two' });
  const { results, summary } = await run({
    workspace_ids: ['one', 'two', 'one', 'one'],
    commands: ['exit 7', 'echo never', 'echo partial; sleep 600', 'yes | head -c 5000'],
    timeout_secs: 2,
    max_output_bytes: 1000,
  });
  expect(results).toMatchObject([
    { exit_code: 7, timed_out: false },
    { workspace_name: 'two', exit_code: -1, stdout: '', timed_out: false, error: 'wrong_state' },
    { exit_code: -1, stdout: 'partial\n', timed_out: true, error: 'timeout' },
    { exit_code: 0 },
  ]);
  expect(results[1]?.stderr).toContain('is not running (state: stopped)');
  expect(results[2]?.stderr).toContain('timed out after 2 seconds');
  expect(results[3]?.stdout).toContain('[TRUNCATED: 5000 bytes total');
  expect(summary).toMatchObject({ total: 4, succeeded: 1, failed: 2, timed_out: 1 });
  await bed.agent.ok('workspace_start', { workspace_id: 'two' });
});

it('ends everywhere when its caller cancels', async () => {
  const cancel = new AbortController();
  const calling = bed.agent
    .tool(
      'exec_parallel',
      { workspace_ids: ['one', 'two'], commands: 'touch /tmp/begun; sleep 6543' },
      { signal: cancel.signal },
    )
    .catch((error: unknown) => error);
  for (const name of ['one', 'two']) {
    await expect
      .poll(() => sh(bed.agent, name, 'ls /tmp/begun 2>/dev/null || true'), { timeout: 30_000 })
      .toBe('/tmp/begun');
  }
  cancel.abort();
  expect(await Promise.race([calling, delay(60_000)])).toBeInstanceOf(Error);
  for (const name of ['one', 'two']) {
    await expect
      .poll(() => sh(bed.agent, name, 'pgrep -f "sleep 654[3]" || echo gone'), { timeout: 30_000 })
      .toBe('gone');
  }
});

it('refuses the whole call where it is wrong, or a workspace is not there or not the caller’s', async () => {
  const fails = (input: object) => bed.agent.failure('exec_parallel', { ...input });
  for (const bad of [
    { workspace_ids: [], commands: 'true' },
    { workspace_ids: Array(21).fill('one'), commands: 'true' },
    { workspace_ids: ['one', 'two'], commands: ['true'] },
    { workspace_ids: ['one'], commands: 5 },
    { workspace_ids: 'one', commands: 'true' },
    { workspace_ids: ['one'], commands: 'true', env: { IFS: 'x' } },
  ]) {
    expect(await fails(bad), JSON.stringify(bad)).toMatchObject({ kind: 'invalid_params' });
  }
  const mark = { workspace_ids: ['one', 'no-such'], commands: 'touch /tmp/mark' };
  expect(await fails(mark)).toMatchObject({ kind: 'invalid_request', code: 'not_found' });
  const theirs = await make(bed.other, 'theirs');
  expect(await fails({ ...mark, workspace_ids: ['one', theirs.workspace_id] })).toMatchObject({
    kind: 'invalid_request',
    code: 'not_owned',
  });
  expect(await sh(bed.agent, 'one', 'ls /tmp/mark 2>/dev/null || echo none')).toBe('none');
});
