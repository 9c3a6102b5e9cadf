import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { CoppiceClient } from '../../../helper-daemon/client/client.ts';
import { leftovers, startTestDaemon, type TestDaemon } from '../support/testDaemon.ts';
import { refusal, sh } from '../support/workspaceSteps.ts';
import { small, until } from './steps.ts';

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

/** Commands that say how often they have run. */
const counting = 'echo again >> /workspace/runs';

async function runs(machine: string): Promise<number> {
  return Number(await sh(client, machine, 'wc -l < /workspace/runs'));
}

async function snapshotNames(machine: string): Promise<string[]> {
  const { snapshots } = await client.call('snapshot_list', { workspace_id: machine });
  return snapshots.map(({ name }) => name);
}

describe('workspace_prepare', () => {
  it('prepares once, prepares again for other inputs, and keeps what is needed of the one before', async () => {
    client = await daemon.connect();
    const input = { name: 'gold', ...small, setup_commands: [counting, 'echo 1 > /etc/version'] };
    const first = await client.call('workspace_prepare', input);
    expect(first).toMatchObject({
      name: 'gold',
      snapshot_name: 'golden',
      state: 'running',
      has_memory: true,
      reused_existing: false,
      saved_as: null,
      previous_snapshot: null,
    });
    const again = await client.call('workspace_prepare', { ...input, timeout_secs: 7 });
    expect(again).toEqual({ ...first, reused_existing: true });
    expect(await runs('gold')).toBe(1);

    // "prepared" is what agents call it; the reply says its name.
    const fork = await client.call('workspace_fork', {
      workspace_id: 'gold',
      snapshot_name: 'prepared',
      new_name: 'copy',
    });
    expect(fork).toMatchObject({ snapshot_name: 'golden', live: true, success_count: 1 });

    const changed = { ...input, setup_commands: [counting, 'echo 2 > /etc/version'] };
    const second = await client.call('workspace_prepare', changed);
    expect(second).toMatchObject({
      workspace_id: first.workspace_id,
      snapshot_name: 'golden',
      reused_existing: false,
    });
    expect(second.snapshot_id).not.toBe(first.snapshot_id);
    expect(second.previous_snapshot).toMatch(/^golden-\d{8}-\d{6}$/);
    expect(await sh(client, 'copy', 'cat /etc/version')).toBe('1');
    expect((await snapshotNames('gold')).sort()).toEqual(
      ['golden', second.previous_snapshot ?? ''].sort(),
    );

    // Nobody was forked from the second: the third takes its place altogether.
    const third = await client.call('workspace_prepare', input);
    expect(third.previous_snapshot).toBeNull();
    expect((await snapshotNames('gold')).sort()).toEqual(
      ['golden', second.previous_snapshot ?? ''].sort(),
    );
  });

  it('is joined by the same call at the same time, and refuses another', async () => {
    client = await daemon.connect();
    const other = await daemon.connect();
    const input = { name: 'gold', ...small, setup_commands: [counting, 'sleep 2'] };
    const calls = [client, other, client].map((one) => one.call('workspace_prepare', input));
    const refused = await refusal(
      other.call('workspace_prepare', { ...input, setup_commands: ['true'] }),
    );
    expect(refused).toMatchObject({ code: 'busy' });
    expect(refused.message).toContain('already in progress');
    const [one, two, three] = await Promise.all(calls);
    expect(two).toEqual(one);
    expect(three).toEqual(one);
    expect(await runs('gold')).toBe(1);
  });

  it('goes on when its caller goes away, and is waited for by the same call', async () => {
    const leaving = await daemon.connect();
    const input = { name: 'gold', ...small, setup_commands: [counting, 'sleep 3'] };
    leaving.call('workspace_prepare', input).catch(() => undefined);
    client = await daemon.connect();
    await until(async () => (await client.call('workspace_list', {})).length === 1);
    leaving.close();
    const prepared = await client.call('workspace_prepare', input);
    expect(prepared.snapshot_name).toBe('golden');
    expect(await runs('gold')).toBe(1);
  });

  it('leaves nothing of a fresh machine whose setup fails, and says which command did and how', async () => {
    client = await daemon.connect();
    const error = await refusal(
      client.call('workspace_prepare', {
        name: 'gold',
        ...small,
        setup_commands: ['true', 'echo out; echo why >&2; exit 3', 'touch /never'],
      }),
    );
    expect(error.code).toBe('command_failed');
    expect(error.message).toContain('setup command 2/3 failed (exit 3): echo out;');
    expect(error.message).toContain('why');
    expect(await client.call('workspace_list', {})).toEqual([]);
    expect(daemon.machines()).toEqual([]);
    expect(leftovers(daemon.paths)).toEqual([]);
  });

  it('keeps a machine that was there before, and its golden snapshot, when its setup fails', async () => {
    client = await daemon.connect();
    const input = { name: 'gold', ...small, setup_commands: [counting] };
    const first = await client.call('workspace_prepare', input);
    const error = await refusal(
      client.call('workspace_prepare', { ...input, setup_commands: ['sleep 60'], timeout_secs: 1 }),
    );
    expect(error.code).toBe('timeout');
    expect(error.message).toContain('setup command 1/1 timed out after 1 s');
    expect(await snapshotNames('gold')).toEqual(['golden']);
    expect(await client.call('workspace_prepare', input)).toMatchObject({
      snapshot_id: first.snapshot_id,
      reused_existing: true,
    });
  });

  it('starts a stopped machine of the caller, and refuses what it cannot become', async () => {
    client = await daemon.connect();
    await client.call('workspace_create', { name: 'gold', ...small });
    await client.call('workspace_stop', { workspace_id: 'gold' });
    const error = await refusal(
      client.call('workspace_prepare', { name: 'gold', memory_mb: small.memory_mb * 2 }),
    );
    expect(error).toMatchObject({ code: 'wrong_state' });
    expect(error.message).toContain('memory_mb is 256, not 512');
    const prepared = await client.call('workspace_prepare', {
      name: 'gold',
      setup_commands: [counting],
    });
    expect(prepared).toMatchObject({ name: 'gold', state: 'running', reused_existing: false });
  });

  it('clones again over what is there, after a snapshot of it', async () => {
    client = await daemon.connect();
    await client.call('workspace_create', { name: 'gold', ...small });
    // git asks this helper instead of a network: the address leads to a repository in the machine itself.
    await sh(
      client,
      'gold',
      `mkdir -p /srv && git init -q -b main /srv/app && cd /srv/app && echo hello > file && git add . &&
       git -c user.name=n -c user.email=e@x commit -qm one &&
       git config --global url.file:///srv/app.insteadOf https://example.com/app.git &&
       git config --global --add safe.directory '*' &&
       mkdir -p /workspace && echo mine > /workspace/own`,
    );
    const prepared = await client.call('workspace_prepare', {
      name: 'gold',
      git_url: 'https://example.com/app.git',
      setup_commands: ['cat file > seen'],
    });
    expect(await sh(client, 'gold', 'cat /workspace/seen; ls /workspace')).toBe(
      'hello\nfile\nseen',
    );
    expect(prepared.saved_as).toMatch(/^before-prepare-/);
    const before = await client.call('snapshot_file_list', {
      workspace_id: 'gold',
      name: prepared.saved_as ?? '',
      path: '/workspace',
    });
    expect(before.map(({ name }) => name)).toEqual(['own']);
  });

  it.each(['--upload-pack=x', 'file:///etc', 'https://h/a;b', "https://h/a'b"])(
    'refuses %s as an address of a repository',
    async (git_url) => {
      client = await daemon.connect();
      const error = await refusal(client.call('workspace_prepare', { name: 'gold', git_url }));
      expect(error.code).toBe('invalid_input');
      expect(await client.call('workspace_list', {})).toEqual([]);
    },
  );
});

describe('a daemon killed while it prepares', () => {
  it.each([150, 1500, 3000])(
    'gives out nothing half-made of a fresh machine (killed after %i ms)',
    async (milliseconds) => {
      client = await daemon.connect();
      const input = { name: 'gold', ...small, setup_commands: [counting, 'sleep 5'] };
      client.call('workspace_prepare', input).catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, milliseconds));
      await daemon.kill();
      await daemon.start();
      client = await daemon.connect();
      expect(await client.call('workspace_list', {})).toEqual([]);
      expect(daemon.machines()).toEqual([]);
      expect(leftovers(daemon.paths)).toEqual([]);
    },
  );

  it('keeps a machine that was there, with the golden snapshot it had', async () => {
    client = await daemon.connect();
    const input = { name: 'gold', ...small, setup_commands: [counting] };
    const first = await client.call('workspace_prepare', input);
    const changed = { ...input, setup_commands: [counting, 'touch /run/begun; sleep 60'] };
    client.call('workspace_prepare', changed).catch(() => undefined);
    await until(async () => (await sh(client, 'gold', 'ls /run')).includes('begun'));
    await daemon.kill();
    await daemon.start();
    client = await daemon.connect();
    expect(await snapshotNames('gold')).toEqual(['golden']);
    expect(await client.call('workspace_prepare', input)).toMatchObject({
      snapshot_id: first.snapshot_id,
      reused_existing: true,
    });
  });
});
