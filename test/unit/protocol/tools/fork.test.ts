import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { CoppiceError } from '../../../../protocol/errors.ts';
import { workspaceForkTool } from '../../../../protocol/tools/fork.ts';
import { failing, fails, use, type Called } from './fakeDaemon.ts';

const id = (number: number): string => `00000000-0000-4000-8000-00000000000${String(number)}`;

function forked(count: number) {
  return {
    source_workspace_id: id(0),
    source_workspace_name: 'source',
    snapshot_id: id(9),
    snapshot_name: 's',
    live: false,
    requested_count: count,
    success_count: count,
    failure_count: 0,
    pause_ms: null,
    workers: Array.from({ length: count }, (_, index) => ({
      workspace_id: id(index + 1),
      name: `worker-${String(index + 1)}`,
      state: 'running',
      ip: null,
      index: index + 1,
    })),
    failures: [],
  };
}

const input = { workspace_id: 'source', snapshot_name: 's' };
const row = (number: number, exit_code: number, stderr = '') => ({
  workspace_id: id(number),
  workspace_name: '',
  exit_code,
  stdout: '',
  stderr,
  timed_out: false,
});
const summary = { total: 0, succeeded: 0, failed: 0, timed_out: 0, elapsed_ms: 0 };

it('setup waits its turn where commands are limited, and is not given up', async () => {
  let refusals = 2;
  const calls: Called[] = [];
  const reply = await use(
    workspaceForkTool,
    { ...input, count: 2, setup_commands: ['true'] },
    {
      workspace_fork: () => forked(2),
      exec_parallel: () => {
        if (refusals > 0) {
          refusals -= 1;
          throw new CoppiceError({
            code: 'rate_limited',
            message: 'slow down',
            details: { retry_after_ms: 1 },
          });
        }
        return { results: [row(1, 0), row(2, 3, 'no')], summary };
      },
    },
    calls,
  );
  expect(calls.map(({ name }) => name)).toEqual([
    'workspace_fork',
    ...Array<string>(3).fill('exec_parallel'),
  ]);
  expect(reply.structured).toMatchObject({
    success_count: 1,
    failure_count: 1,
    workers: [{ name: 'worker-1' }],
    failures: [{ index: 2, name: 'worker-2', workspace_id: id(2) }],
  });
});

it('copies whose setup could not even begin are named, not lost', async () => {
  const answers = { workspace_fork: () => forked(1), exec_parallel: fails('daemon_unavailable') };
  const error = await failing(workspaceForkTool, { ...input, setup_commands: ['true'] }, answers);
  expect(error).toMatchObject({ code: 'command_failed', details: { workspace_id: id(1) } });
});

it('a copy that could not be made fails with its own reason', async () => {
  const failed = {
    ...forked(0),
    failures: [{ index: 1, name: 'c', code: 'name_taken', error: 'there is one already' }],
  };
  const error = await failing(workspaceForkTool, input, { workspace_fork: () => failed });
  expect([error.kind, error.code]).toEqual(['internal_error', 'name_taken']);
  expect(error.message).toContain('there is one already');
});

it('runs each setup command in a shell of its own, whatever is in it, until one fails', async () => {
  const calls: Called[] = [];
  const setup_commands = [
    "cd /; printf '%s\\n' \"it's $0\"",
    'pwd',
    'echo last; exit 7',
    'echo no',
  ];
  await use(
    workspaceForkTool,
    { ...input, count: 2, setup_commands },
    {
      workspace_fork: () => forked(2),
      exec_parallel: () => ({ results: [row(1, 0), row(2, 0)], summary }),
    },
    calls,
  );
  const { commands } = calls[1]?.input as { commands: string };
  const ran = spawnSync('/bin/sh', ['-c', commands], { cwd: '/tmp', encoding: 'utf8' });
  expect(ran.stdout).toBe("it's sh\n/tmp\nlast\n");
  expect(ran.stderr).toBe('setup command 3 of 4 ended with 7\n');
  expect(ran.status).toBe(7);
});
