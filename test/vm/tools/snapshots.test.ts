import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { make, openToolBed, sh, type Made, type ToolBed } from './toolBed.ts';

let bed: ToolBed;
let source: Made;
const on = { workspace_id: 'source' };

interface Batch {
  readonly workers: readonly Made[];
  readonly failures: readonly { readonly index: number; readonly error: string }[];
}

beforeAll(async () => {
  bed = await openToolBed();
  source = await make(bed.agent, 'source');
  await sh(bed.agent, 'source', 'echo first > /root/mark; sync');
});
afterAll(async () => {
  await bed.dispose();
});

const snapshot = (action: string, more: object = {}) =>
  bed.agent.tool('snapshot', { ...on, action, ...more });
const refused = (action: string, more: object = {}) =>
  bed.agent.failure('snapshot', { ...on, action, ...more });
const names = async (): Promise<unknown[]> =>
  (JSON.parse((await snapshot('list')).text) as { name: string }[]).map(({ name }) => name);

describe('snapshot', () => {
  it('is created and listed with what the contract names', async () => {
    const { text, structured } = await snapshot('create', { name: 'first' });
    expect(JSON.parse(text)).toEqual(structured);
    expect(structured).toEqual({
      snapshot_id: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
      name: 'first',
      workspace_id: source.workspace_id,
      has_memory: false,
      created_at: expect.stringMatching(/\+00:00$/) as string,
    });
    await sh(bed.agent, 'source', 'echo second > /root/mark; sync');
    await snapshot('create', { name: 'second', include_memory: true });
    const list = JSON.parse((await snapshot('list')).text) as Record<string, unknown>[];
    expect(list).toMatchObject([
      {
        id: structured['snapshot_id'],
        name: 'first',
        has_memory: false,
        parent: null,
        created_at: structured['created_at'],
        used_bytes: expect.any(Number) as number,
        referenced_bytes: expect.any(Number) as number,
      },
      { name: 'second', has_memory: true, parent: structured['snapshot_id'] },
    ]);
    const info = await bed.agent.ok('workspace_info', on);
    expect(info['snapshots']).toMatchObject([
      { id: structured['snapshot_id'], name: 'first', has_memory: false, parent: null },
      { name: 'second', has_memory: true, parent: structured['snapshot_id'] },
    ]);
  });

  it('is restored without losing a newer one, also where the workspace is stopped', async () => {
    const { agent } = bed;
    expect((await snapshot('restore', { name: 'first' })).text).toBe(
      "Workspace source restored to snapshot 'first'.",
    );
    expect(await sh(agent, 'source', 'cat /root/mark')).toBe('first');
    expect(await names()).toEqual(['first', 'second']);
    await agent.ok('workspace_stop', on);
    const back = await agent.tool('snapshot', {
      workspace_id: source.workspace_id,
      action: 'restore',
      name: 'second',
    });
    expect(back.text).toBe(`Workspace ${source.workspace_id} restored to snapshot 'second'.`);
    expect(await sh(agent, 'source', 'cat /root/mark')).toBe('second');
  });

  it('can be deleted in the middle', async () => {
    await snapshot('create', { name: 'third' });
    expect((await snapshot('delete', { name: 'second' })).text).toBe(
      "Snapshot 'second' deleted from workspace source.",
    );
    expect(await names()).toEqual(['first', 'third']);
  });

  it('tells wrong parameters from what cannot be done', async () => {
    for (const [action, more] of [
      ['create', {}],
      ['restore', {}],
      ['delete', { name: null }],
      ['create', { name: 'a b' }],
      ['rewind', { name: 'first' }],
    ] as const) {
      expect(await refused(action, more), action).toMatchObject({ kind: 'invalid_params' });
    }
    expect(await refused('create', { name: 'first' })).toMatchObject({
      kind: 'internal_error',
      code: 'name_taken',
    });
    expect(await refused('restore', { name: 'no-such' })).toMatchObject({
      kind: 'invalid_request',
      code: 'not_found',
    });
    expect(await refused('delete', { name: 'no-such' })).toMatchObject({
      kind: 'invalid_request',
      code: 'not_found',
    });
    const elsewhere = { workspace_id: 'no-such', action: 'create', name: 's' };
    expect(await bed.agent.failure('snapshot', elsewhere)).toMatchObject({
      kind: 'invalid_request',
      code: 'not_found',
    });
  });
});

describe('workspace_fork', () => {
  it('makes one running copy that knows where it came from, and is the caller’s', async () => {
    const { agent } = bed;
    const { text, structured } = await agent.tool('workspace_fork', {
      ...on,
      snapshot_name: 'first',
      new_name: 'copy',
      setup_commands: ["echo 'it''s set' > /root/setup", 'cat /root/mark >> /root/setup'],
    });
    expect(JSON.parse(text)).toEqual(structured);
    expect(structured).toMatchObject({
      workspace_id: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
      name: 'copy',
      state: 'running',
      ip: null,
      forked_from: {
        source_workspace_id: source.workspace_id,
        source_workspace_name: 'source',
        snapshot_name: 'first',
      },
    });
    expect(await sh(agent, 'copy', 'cat /root/setup')).toBe('its set\nfirst');
    const info = await agent.ok('workspace_info', { workspace_id: 'copy' });
    expect(info).toMatchObject({
      owned: true,
      forked_from: { source_workspace_id: source.workspace_id, snapshot_name: 'first' },
    });
    expect(await refused('delete', { name: 'first' })).toMatchObject({
      kind: 'invalid_request',
      code: 'has_dependents',
    });
    expect(
      await agent.failure('workspace_fork', { ...on, snapshot_name: 'first', new_name: 'copy' }),
    ).toMatchObject({ kind: 'internal_error', code: 'name_taken' });
    await agent.ok('workspace_destroy', { workspace_id: 'copy' });
  });

  it('keeps a copy whose setup failed, and names it', async () => {
    const { agent } = bed;
    const failure = await agent.failure('workspace_fork', {
      ...on,
      snapshot_name: 'first',
      new_name: 'broken',
      setup_commands: ['true', 'echo the reason >&2; exit 7', 'touch /root/never'],
    });
    expect(failure).toMatchObject({
      kind: 'internal_error',
      code: 'command_failed',
      details: { name: 'broken' },
    });
    expect(failure.message).toContain('the reason');
    expect(failure.message).toContain('setup command 2 of 3 ended with 7');
    expect(await sh(agent, 'broken', 'ls /root/never 2>&1 || true')).toContain('No such file');
    await agent.ok('workspace_destroy', { workspace_id: 'broken' });
  });

  it('makes a batch, and lists what failed beside what did not', async () => {
    const { agent } = bed;
    await make(agent, 'w-2');
    const { structured } = await agent.tool<Record<string, unknown> & Batch>('workspace_fork', {
      ...on,
      snapshot_name: 'first',
      count: 3,
      name_prefix: 'w',
      setup_commands: ['[ "$(hostname)" != w-3 ] || { echo not here; exit 3; }'],
    });
    expect(structured).toMatchObject({
      source_workspace_id: 'source',
      snapshot_name: 'first',
      requested_count: 3,
      success_count: 1,
      failure_count: 2,
      workers: [{ name: 'w-1', ip: null }],
      failures: [
        { index: 2, name: 'w-2' },
        { index: 3, name: 'w-3', workspace_id: expect.any(String) as string },
      ],
    });
    expect(structured.failures[1]?.error).toContain('not here');
    for (const name of ['w-1', 'w-2', 'w-3']) {
      await agent.ok('workspace_destroy', { workspace_id: name });
    }
  });

  it('copies a running workspace with its programs, but not with its variables', async () => {
    const { agent } = bed;
    await agent.ok('set_env', { ...on, vars: { SECRET: 'hidden' } });
    expect(await sh(agent, 'source', 'echo "$SECRET"')).toBe('hidden');
    await agent.ok('exec_background', { ...on, action: 'start', command: 'sleep 1234' });
    const live = await agent.ok('workspace_fork', { ...on, new_name: 'live' });
    expect(live).toMatchObject({ forked_from: { live: true } });
    expect(await sh(agent, 'live', 'pgrep -xc sleep; echo "[$SECRET]"')).toBe('1\n[]');
    expect(await sh(agent, 'source', 'echo "$SECRET"')).toBe('hidden');
    await agent.ok('workspace_destroy', { workspace_id: 'live' });
  });

  it('refuses what it cannot do, in the kind of the contract', async () => {
    const { agent } = bed;
    const fork = (more: object) =>
      agent.failure('workspace_fork', { ...on, snapshot_name: 'first', ...more });
    for (const bad of [{ count: 21 }, { count: -1 }, { name_prefix: 'a b' }, { new_name: '' }]) {
      expect(await fork(bad), JSON.stringify(bad)).toMatchObject({ kind: 'invalid_params' });
    }
    expect(await fork({ snapshot_name: 'no-such' })).toMatchObject({ kind: 'internal_error' });
    expect(await fork({ snapshot_name: 'no-such', count: 2 })).toMatchObject({
      kind: 'invalid_request',
    });
    expect(await fork({ count: 20 })).toMatchObject({
      kind: 'invalid_request',
      code: 'quota_exceeded',
    });
  });
});
