import { describe, expect, test } from 'vitest';
import { bootTimes } from '../../../helper-daemon/metrics/bootTimes.ts';
import { exposition } from '../../../helper-daemon/metrics/exposition.ts';
import { meteredLock } from '../../../helper-daemon/metrics/meteredLock.ts';
import {
  openMetrics,
  type Metrics,
  type Readings,
} from '../../../helper-daemon/metrics/metrics.ts';
import { keyedLock } from '../../../helper-daemon/workspaces/keyedLock.ts';
import type { CoppiceEvent } from '../../../protocol/events.ts';

const readings: Readings = {
  workspaceStates: ['running', 'running', 'paused'],
  teams: 2,
  pool: { ready: 1, size: 3 },
  clients: 4,
  locks: { held: 1, waiting: 2 },
};

function open(): Metrics {
  return openMetrics(() => readings);
}

async function linesOf(metrics: Metrics): Promise<readonly string[]> {
  return (await exposition(metrics.snapshot())).text.split('\n');
}

describe('the text', () => {
  test('names the metrics of the contract, and no counter twice total', async () => {
    const metrics = open();
    metrics.operationFinished('exec', 'ok', 1, { result: { exit_code: 0 } });
    const text = (await linesOf(metrics)).join('\n');
    for (const name of [
      'coppice_workspaces gauge',
      'coppice_vm_boot_duration_seconds histogram',
      'coppice_exec_total counter',
      'coppice_exec_duration_seconds histogram',
      'coppice_errors_total counter',
      'coppice_operations_total counter',
      'coppice_teams gauge',
      'coppice_team_messages_total counter',
      'coppice_merge_total counter',
      'coppice_merge_duration_seconds histogram',
      'coppice_pool_machines gauge',
      'coppice_workspace_changes gauge',
      'process_resident_memory_bytes gauge',
      'process_cpu_seconds_total counter',
    ]) {
      expect(text).toContain(`# TYPE ${name}`);
    }
    expect(text).not.toContain('_total_total');
  });

  test('every line is a comment or a sample with a number', async () => {
    const metrics = open();
    metrics.operationFinished('workspace_merge', 'merge_conflict', 3, {
      input: { strategy: 'a "quoted"\nname' },
    });
    for (const line of await linesOf(metrics)) {
      expect(line).toMatch(/^$|^# (HELP|TYPE) |^[a-z_]+(\{[^\n]*\})? [-+.\dInfe]+$/);
    }
  });

  test('reads the gauges at the moment it is asked for', async () => {
    const lines = await linesOf(open());
    expect(lines).toContain('coppice_workspaces{state="running"} 2');
    expect(lines).toContain('coppice_workspaces{state="stopped"} 0');
    expect(lines).toContain('coppice_workspaces{state="paused"} 1');
    expect(lines).toContain('coppice_teams 2');
    expect(lines).toContain('coppice_pool_machines{state="ready"} 1');
    expect(lines).toContain('coppice_pool_machines{state="wanted"} 3');
    expect(lines).toContain('coppice_workspace_changes{state="waiting"} 2');
  });

  test('can be read again and again without counting twice', async () => {
    const metrics = open();
    metrics.operationFinished('exec', 'ok', 1, { result: { exit_code: 0 } });
    await linesOf(metrics);
    expect(await linesOf(metrics)).toContain('coppice_exec_total{result="success"} 1');
  });
});

describe('what is counted', () => {
  test('commands by how they ended, each of several at once', async () => {
    const metrics = open();
    metrics.operationFinished('exec', 'ok', 0.2, { result: { exit_code: 0 } });
    metrics.operationFinished('exec', 'ok', 0.2, { result: { exit_code: 2 } });
    metrics.operationFinished('exec', 'guest_unreachable', 0.2);
    metrics.operationFinished('exec_parallel', 'ok', 2, {
      result: {
        results: [{ exit_code: 0 }, { exit_code: 1 }, { exit_code: -1, error: 'timeout' }],
      },
    });
    const lines = await linesOf(metrics);
    expect(lines).toContain('coppice_exec_total{result="success"} 2');
    expect(lines).toContain('coppice_exec_total{result="failure"} 2');
    expect(lines).toContain('coppice_exec_total{result="error"} 2');
    expect(lines).toContain('coppice_errors_total{error_type="guest_unreachable"} 1');
    expect(lines).toContain('coppice_operations_total{operation="exec",outcome="ok"} 2');
  });

  test('a command of half an hour falls into a bucket of its own', async () => {
    const metrics = open();
    metrics.operationFinished('exec', 'ok', 0.03, { result: { exit_code: 0 } });
    metrics.operationFinished('exec', 'ok', 1700, { result: { exit_code: 0 } });
    metrics.operationFinished('exec', 'ok', 9000, { result: { exit_code: 0 } });
    const lines = await linesOf(metrics);
    const bucket = (le: string): string => `coppice_exec_duration_seconds_bucket{le="${le}"}`;
    expect(lines).toContain(`${bucket('0.01')} 0`);
    expect(lines).toContain(`${bucket('0.05')} 1`);
    expect(lines).toContain(`${bucket('600')} 1`);
    expect(lines).toContain(`${bucket('1800')} 2`);
    expect(lines).toContain(`${bucket('3600')} 2`);
    expect(lines).toContain(`${bucket('+Inf')} 3`);
    expect(lines).toContain('coppice_exec_duration_seconds_count 3');
    expect(lines).toContain('coppice_exec_duration_seconds_sum 10700.03');
  });

  test('messages by their type, those that callers made up as one', async () => {
    const metrics = open();
    for (const message_type of [undefined, 'request', 'my-own-1', 'my-own-2']) {
      metrics.operationFinished('team_message', 'ok', 0.1, { input: { message_type } });
    }
    const lines = (await linesOf(metrics)).filter((line) => /^coppice_team_m/.test(line));
    expect(lines).toEqual([
      'coppice_team_messages_total{message_type="text"} 1',
      'coppice_team_messages_total{message_type="request"} 1',
      'coppice_team_messages_total{message_type="other"} 2',
    ]);
  });

  test('merges by strategy and result', async () => {
    const metrics = open();
    const input = { strategy: 'sequential' };
    metrics.operationFinished('workspace_merge', 'ok', 5, { input, result: { conflicts: [] } });
    metrics.operationFinished('workspace_merge', 'ok', 5, { input, result: { conflicts: [{}] } });
    metrics.operationFinished('workspace_merge', 'git_error', 5, { input });
    const lines = await linesOf(metrics);
    for (const result of ['merged', 'conflict', 'failed']) {
      expect(lines).toContain(`coppice_merge_total{strategy="sequential",result="${result}"} 1`);
    }
    expect(lines).toContain('coppice_merge_duration_seconds_count{strategy="sequential"} 3');
  });

  test('calls are under way from their beginning to their end', async () => {
    const metrics = open();
    const ended = metrics.callBegan('exec');
    const line = 'coppice_operations_under_way{operation="exec"} 1';
    expect(await linesOf(metrics)).toContain(line);
    ended('cancelled', 1);
    expect(await linesOf(metrics)).not.toContain(line);
  });
});

describe('boots', () => {
  const id = '11111111-1111-4111-8111-111111111111';
  const changed = (state: string): CoppiceEvent =>
    ({ type: 'workspace_changed', workspace: { workspace_id: id, state } }) as CoppiceEvent;

  test('are timed from creating or starting until running', () => {
    const told: number[] = [];
    let now = 0;
    const boots = bootTimes(
      (seconds) => told.push(seconds),
      () => now,
    );
    boots.seen(changed('creating'));
    now = 500;
    boots.seen(changed('creating'));
    now = 1500;
    boots.seen(changed('running'));
    now = 2000;
    boots.seen(changed('running'));
    expect(told).toEqual([1.5]);
  });

  test('that fail are not counted', () => {
    const told: number[] = [];
    const boots = bootTimes((seconds) => told.push(seconds));
    boots.seen(changed('starting'));
    boots.seen(changed('stopped'));
    boots.seen(changed('running'));
    expect(told).toEqual([]);
  });
});

describe('a metered lock', () => {
  test('counts who holds and who waits, also when work fails', async () => {
    const lock = meteredLock(keyedLock());
    const gate = Promise.withResolvers<undefined>();
    const first = lock.run('a', async () => {
      await gate.promise;
      throw new Error('failed');
    });
    const second = lock.run('a', () => Promise.resolve(2));
    const other = lock.run('b', () => gate.promise);
    await new Promise((resolve) => setImmediate(resolve));
    expect(lock.counts).toEqual({ held: 2, waiting: 1 });
    gate.resolve(undefined);
    await expect(first).rejects.toThrow('failed');
    expect(await second).toBe(2);
    await other;
    expect(lock.counts).toEqual({ held: 0, waiting: 0 });
  });
});
