/** Agents and the person they work for, on one daemon: who owns what, how much, and how often. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { CoppiceClient } from '../../../helper-daemon/client/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/testDaemon.ts';

const small = { vcpus: 1, memory_mb: 256 } as const;

let daemon: TestDaemon;
let alice: CoppiceClient;
let bob: CoppiceClient;
let person: CoppiceClient;
let settings: string;

beforeAll(async () => {
  settings = mkdtempSync(path.join(os.tmpdir(), 'coppice-settings-'));
  const file = path.join(settings, 'config.toml');
  writeFileSync(
    file,
    '[quota.agent]\nworkspaces = 2\n\n[rate_limit]\ncreate_per_minute = 6000\nexec_per_minute = 60\n',
  );
  daemon = await startTestDaemon('user', { env: { COPPICE_CONFIG: file } });
  await connect();
});

afterAll(async () => {
  await daemon.dispose();
  rmSync(settings, { recursive: true, force: true });
});

afterEach(async () => {
  await daemon.clean();
});

async function connect(): Promise<void> {
  alice = await daemon.connect('test', 'alice');
  bob = await daemon.connect('test', 'bob');
  person = await daemon.connect();
}

describe('agents on one daemon', () => {
  it('own what they make, again after they and the daemon have been away', async () => {
    const { workspace_id } = await alice.call('workspace_create', { name: 'hers', ...small });
    const exec = { workspace_id: 'hers', command: 'echo hi' };
    await expect(bob.call('exec', exec)).rejects.toMatchObject({ code: 'not_owned' });
    await expect(bob.call('workspace_info', { workspace_id })).rejects.toMatchObject({
      code: 'not_owned',
    });
    expect(await person.call('exec', exec)).toMatchObject({ stdout: 'hi\n' });
    const listed = await bob.call('workspace_list', {});
    expect(listed.map(({ name, owned }) => [name, owned])).toEqual([['hers', false]]);
    alice.close();
    await daemon.kill();
    await daemon.start();
    await connect();
    expect(await alice.call('exec', exec)).toMatchObject({ stdout: 'hi\n' });
  });

  it('cannot take over or destroy what another works with, but what nobody has called for', async () => {
    await alice.call('workspace_create', { name: 'w', ...small });
    const take = { workspace_id: 'w', force: true };
    await expect(bob.call('workspace_adopt', take)).rejects.toMatchObject({ code: 'not_owned' });
    await expect(bob.call('workspace_destroy', { workspace_id: 'w' })).rejects.toMatchObject({
      code: 'not_owned',
    });
    // A daemon that has just started has heard of nobody.
    await daemon.kill();
    await daemon.start();
    await connect();
    expect((await bob.call('workspace_adopt', take)).adopted).toMatchObject([
      { name: 'w', forced: true },
    ]);
    await expect(alice.call('exec', { workspace_id: 'w', command: 'true' })).rejects.toMatchObject({
      code: 'not_owned',
    });
  });

  it('get no more than their quota, however many calls come at once', async () => {
    const made = await Promise.allSettled(
      Array.from({ length: 3 }, (_, index) =>
        alice.call('workspace_create', { name: `many-${String(index)}`, ...small }),
      ),
    );
    expect(made.filter(({ status }) => status === 'fulfilled')).toHaveLength(2);
    for (const result of made) {
      if (result.status === 'rejected') {
        expect(result.reason).toMatchObject({ code: 'quota_exceeded' });
      }
    }
    await expect(
      alice.call('workspace_fork', { workspace_id: 'many-0', count: 1 }),
    ).rejects.toMatchObject({ code: expect.stringMatching(/quota_exceeded|not_found/) as string });
    expect((await alice.call('session_info', {})).quota.workspaces).toEqual({
      current: 2,
      limit: 2,
    });
    await person.call('workspace_create', { name: 'a-person-has-no-quota', ...small });
  });

  it('are told to wait when they call too often', async () => {
    await alice.call('workspace_create', { name: 'busy', ...small });
    const exec = { workspace_id: 'busy', command: 'true' };
    const calls = await Promise.allSettled(
      Array.from({ length: 30 }, () => alice.call('exec', exec)),
    );
    const refused = calls.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[];
    expect(refused.length).toBeGreaterThan(0);
    for (const { reason } of refused) {
      expect(reason).toMatchObject({
        code: 'rate_limited',
        message:
          'Rate limit exceeded for exec operations. Maximum 60 calls per minute. Please wait and retry.',
      });
    }
    await expect(person.call('exec', exec)).resolves.toMatchObject({ exit_code: 0 });
  });

  it('act once for all calls with one key, also when the first caller went away', async () => {
    const carol = await daemon.connect('test', 'carol');
    await carol.call('workspace_create', { name: 'once', ...small });
    const append = { workspace_id: 'once', command: 'sleep 1; echo x >> /tmp/count' };
    const other = await daemon.connect('test', 'carol');
    const lost = other.call('exec', append, { idempotencyKey: 'append-1' });
    const again = carol.call('exec', append, { idempotencyKey: 'append-1' });
    other.close();
    await expect(lost).rejects.toMatchObject({ code: 'outcome_unknown' });
    expect(await again).toMatchObject({ exit_code: 0 });
    expect(await carol.call('exec', append, { idempotencyKey: 'append-1' })).toMatchObject({
      exit_code: 0,
    });
    const count = await carol.call('exec', { workspace_id: 'once', command: 'wc -l < /tmp/count' });
    expect(count.stdout.trim()).toBe('1');
  });
});

describe('a host with little memory', () => {
  it('refuses what would not fit beside what runs, before anything is made', async () => {
    const { host } = await person.call('daemon_status', {});
    const total = Math.floor(host.memory_available_bytes / 1024 ** 2);
    const half = Math.min(131_072, Math.floor(total * 0.6));
    const creates = await Promise.allSettled(
      ['big-1', 'big-2'].map((name) =>
        person.call('workspace_create', { name, vcpus: 1, memory_mb: half }),
      ),
    );
    expect(creates.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    for (const result of creates) {
      if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'no_memory' });
    }
    expect(daemon.machines()).toHaveLength(1);
  });
});
