import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { make, openToolBed, sh, small, type Made, type ToolBed } from './toolBed.ts';

let bed: ToolBed;
let kept: Made;
const nobody = '00000000-0000-4000-8000-000000000000';

beforeAll(async () => {
  bed = await openToolBed();
  kept = await make(bed.agent, 'kept');
});
afterAll(async () => {
  await bed.dispose();
});

describe('workspace_create', () => {
  it('answers with what the contract names, as one line of JSON', async () => {
    const { text, structured } = await bed.agent.tool('workspace_create', {
      ...small,
      disk_gb: 11,
      allow_internet: null,
      unknown_field: 1,
    });
    expect(JSON.parse(text)).toEqual(structured);
    expect(text).not.toMatch(/[\n]|": /);
    expect(structured).toEqual({
      workspace_id: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
      name: expect.stringMatching(/^ws-[0-9a-f]{8}$/) as string,
      state: 'running',
      ip: null,
      boot_time_ms: expect.any(Number) as number,
      from_pool: false,
      resources: { vcpus: 1, memory_mb: 256, disk_gb: 11 },
      allow_internet: false,
    });
    expect(Number.isInteger(structured['boot_time_ms'])).toBe(true);
    const destroyed = await bed.agent.tool('workspace_destroy', {
      workspace_id: structured['workspace_id'],
    });
    expect(destroyed.text).toBe(`Workspace ${String(structured['workspace_id'])} destroyed.`);
  });

  it('tells wrong parameters, failed work and limits apart', async () => {
    const { agent } = bed;
    for (const bad of [{ name: 'a b' }, { name: nobody }, { vcpus: 0 }, { memory_mb: '512' }]) {
      const failure = await agent.failure('workspace_create', bad);
      expect(failure).toMatchObject({ kind: 'invalid_params', jsonrpc_code: -32_602 });
    }
    expect(await agent.failure('workspace_create', { name: 'kept', ...small })).toMatchObject({
      kind: 'internal_error',
      jsonrpc_code: -32_603,
      code: 'name_taken',
    });
    expect(
      await agent.failure('workspace_create', { base_image: 'no-such-image', ...small }),
    ).toMatchObject({ kind: 'internal_error', code: 'image_missing' });
    const tooMuch = await agent.failure('workspace_create', { ...small, disk_gb: 500 });
    expect(tooMuch).toMatchObject({ kind: 'invalid_request', code: 'quota_exceeded' });
    expect(tooMuch.message).toMatch(
      /^quota exceeded: disk_gb \(limit 100, current 10, requested 500\)/,
    );
  });

  it('acts once for one idempotency key', async () => {
    const wanted = { name: 'once', ...small, idempotency_key: 'key-1' };
    const first = await bed.agent.ok('workspace_create', wanted);
    const again = await bed.agent.ok('workspace_create', wanted);
    expect(again['workspace_id']).toBe(first['workspace_id']);
    expect(await bed.agent.failure('workspace_create', { ...wanted, name: 'twice' })).toMatchObject(
      { kind: 'invalid_request', code: 'idempotency_conflict' },
    );
    await bed.agent.ok('workspace_destroy', { workspace_id: 'once' });
  });
});

describe('workspace_list', () => {
  it('is a bare array of everybody’s workspaces that says which are the caller’s', async () => {
    const { agent, other } = bed;
    const item = {
      workspace_id: kept.workspace_id,
      name: 'kept',
      state: 'running',
      ip: null,
      owned: true,
      resources: { vcpus: 1, memory_mb: 256, disk_gb: 10 },
    };
    expect(JSON.parse((await agent.tool('workspace_list')).text)).toEqual([item]);
    expect(JSON.parse((await other.tool('workspace_list')).text)).toEqual([
      { ...item, owned: false },
    ]);
  });

  it('filters by state, and knows no workspace in a state there is not', async () => {
    const list = async (state: string): Promise<string> =>
      (await bed.agent.tool('workspace_list', { state_filter: state })).text;
    expect(JSON.parse(await list('running'))).toHaveLength(1);
    expect(await list('stopped')).toBe('[]');
    expect(await list('no-such-state')).toBe('[]');
  });
});

describe('workspace_info', () => {
  it('takes a name and an id, and answers with what the contract names', async () => {
    const byName = await bed.agent.ok('workspace_info', { workspace_id: 'kept' });
    const byId = await bed.agent.ok('workspace_info', {
      workspace_id: kept.workspace_id.toUpperCase(),
    });
    expect(byId['workspace_id']).toBe(byName['workspace_id']);
    expect(byName).toMatchObject({
      workspace_id: kept.workspace_id,
      name: 'kept',
      state: 'running',
      base_image: 'debian-dev',
      ip: null,
      resources: { vcpus: 1, memory_mb: 256, disk_gb: 10 },
      network: {
        allow_internet: false,
        allow_inter_vm: false,
        allowed_ports: [],
        port_forwards: [],
      },
      snapshots: [],
      forked_from: null,
      team_id: null,
      created_at: expect.stringMatching(/^\d{4}-.+\.\d+\+00:00$/) as string,
      disk_used_bytes: expect.any(Number) as number,
      disk_volsize_bytes: 10 * 1024 ** 3,
    });
  });

  it('names what is missing and how to find it', async () => {
    for (const reference of ['no-such', nobody]) {
      const failure = await bed.agent.failure('workspace_info', { workspace_id: reference });
      expect(failure).toMatchObject({ kind: 'invalid_request', code: 'not_found' });
      expect(failure.next).toContain('workspace_list');
    }
    expect(await bed.agent.failure('workspace_info', {})).toMatchObject({
      kind: 'invalid_params',
    });
  });
});

describe('workspace_stop and workspace_start', () => {
  it('say what they did, and what needs a running machine says that it is not running', async () => {
    const { agent } = bed;
    const stopped = await agent.tool('workspace_stop', { workspace_id: 'kept' });
    expect(stopped.text).toBe('Workspace kept stopped.');
    const failure = await agent.failure('exec', { workspace_id: 'kept', command: 'true' });
    expect(failure).toMatchObject({ kind: 'invalid_request', code: 'wrong_state' });
    expect(failure.message).toMatch(/is not running \(state: stopped\)/);
    const started = await agent.tool('workspace_start', { workspace_id: kept.workspace_id });
    expect(started.text).toBe(`Workspace ${kept.workspace_id} started.`);
    expect(await agent.ok('exec', { workspace_id: 'kept', command: 'echo up' })).toMatchObject({
      stdout: 'up\n',
    });
  });

  it('fail as a wrong request where there is no such workspace', async () => {
    for (const tool of ['workspace_stop', 'workspace_start', 'workspace_logs']) {
      const failure = await bed.agent.failure(tool, { workspace_id: 'no-such' });
      expect(failure).toMatchObject({ kind: 'invalid_request', code: 'not_found' });
    }
    const failure = await bed.agent.failure('workspace_destroy', { workspace_id: 'no-such' });
    expect(failure).toMatchObject({ kind: 'invalid_request', code: 'not_found' });
  });
});

describe('workspace_logs', () => {
  it('shows the last lines of both logs, or of one', async () => {
    const logs = (more: object): Promise<{ console?: string; stderr?: string }> =>
      bed.agent.ok('workspace_logs', { workspace_id: 'kept', ...more });
    await sh(bed.agent, 'kept', 'for n in 1 2 3; do echo line $n > /dev/console; done');
    const all = await logs({});
    expect(Object.keys(all).sort()).toEqual(['console', 'stderr']);
    expect(all.console).toContain('line 3');
    expect(await logs({ log_type: 'whatever' })).toEqual(all);
    const few = await logs({ log_type: 'console', max_lines: 2 });
    expect(few).toEqual({ console: all.console?.split('\n').slice(-2).join('\n') });
    expect(
      await bed.agent.failure('workspace_logs', { workspace_id: 'kept', max_lines: -1 }),
    ).toMatchObject({ kind: 'invalid_params' });
  });
});

describe('ownership', () => {
  it('keeps every tool of a workspace from those who do not own it, and says what to do', async () => {
    const calls: readonly (readonly [string, object])[] = [
      ['workspace_info', {}],
      ['workspace_stop', {}],
      ['workspace_start', {}],
      ['workspace_logs', {}],
      ['exec', { command: 'true' }],
      ['exec_background', { action: 'start', command: 'true' }],
      ['exec_background', { action: 'poll', job_id: 1 }],
      ['exec_background', { action: 'kill', job_id: 1 }],
      ['exec_background', { action: 'list' }],
      ['set_env', { vars: { A: '1' } }],
      ['file_write', { path: '/tmp/x', content: '' }],
      ['file_read', { path: '/etc/hostname' }],
      ['file_edit', { path: '/etc/hostname', old_string: 'a', new_string: 'b' }],
      ['file_list', { path: '/' }],
      ['file_transfer', { direction: 'upload', host_path: 'x', guest_path: '/x' }],
      ['snapshot', { action: 'create', name: 's' }],
      ['snapshot', { action: 'restore', name: 's' }],
      ['snapshot', { action: 'list' }],
      ['snapshot', { action: 'delete', name: 's' }],
      ['workspace_fork', { snapshot_name: 's' }],
      ['workspace_fork', { snapshot_name: 's', count: 2 }],
      ['port_forward', { action: 'add', guest_port: 80 }],
      ['port_forward', { action: 'remove', guest_port: 80 }],
      ['network_policy', { allow_internet: true }],
      ['workspace_destroy', {}],
    ];
    for (const [tool, input] of calls) {
      const shown = `${tool} ${JSON.stringify(input)}`;
      const failure = await bed.other.failure(tool, { workspace_id: 'kept', ...input });
      expect(failure, shown).toMatchObject({
        kind: 'invalid_request',
        jsonrpc_code: -32_600,
        code: 'not_owned',
      });
      expect(failure.message, shown).toContain('not owned by this session');
    }
    const parallel = { workspace_ids: ['kept'], commands: 'true' };
    const failure = await bed.other.failure('exec_parallel', parallel);
    expect(failure).toMatchObject({ kind: 'invalid_request', code: 'not_owned' });
    expect(failure.next).toContain('workspace_adopt(workspace_id="kept", force=true)');
  });
});

describe('workspace_adopt', () => {
  it('keeps what is the caller’s already, and refuses what another is using', async () => {
    const { agent, other } = bed;
    expect(await agent.ok('workspace_adopt', { workspace_id: 'kept', force: null })).toEqual({
      workspace_id: kept.workspace_id,
      name: 'kept',
      state: 'running',
      ip: null,
      adopted: true,
      forced: false,
    });
    for (const force of [false, true]) {
      expect(await other.failure('workspace_adopt', { workspace_id: 'kept', force })).toMatchObject(
        { kind: 'invalid_request', code: 'not_owned' },
      );
    }
    expect(await other.failure('workspace_adopt', { workspace_id: 'no-such' })).toMatchObject({
      kind: 'invalid_request',
      code: 'not_found',
    });
  });

  it('takes over all that is free, and drops nobody who is at work', async () => {
    expect(await bed.other.ok('workspace_adopt')).toEqual({
      adopted_count: 0,
      adopted: [],
      error_count: 0,
      errors: [],
    });
    // Of callers before this daemon nothing is known, so what they have can be had.
    await bed.daemon.kill();
    await bed.daemon.start();
    const forced = await bed.other.ok('workspace_adopt', { force: true });
    expect(forced).toMatchObject({
      adopted_count: 1,
      adopted: [{ workspace_id: kept.workspace_id, name: 'kept', state: 'running' }],
      error_count: 0,
    });
    expect(
      await bed.agent.failure('exec', { workspace_id: 'kept', command: 'true' }),
    ).toMatchObject({ code: 'not_owned' });
  });
});
