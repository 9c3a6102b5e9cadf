import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { CoppiceClient } from '../../../helper-daemon/client/client.ts';
import { expectNothingLost, expectSound, rows } from '../support/storedState.ts';
import { startTestDaemon, type TestDaemon } from '../support/testDaemon.ts';
import { counted, refusal, sh, startCounting } from '../support/workspaceSteps.ts';

const patience = { timeout: 30_000, interval: 100 };
let daemon: TestDaemon;
let client: CoppiceClient;

beforeAll(async () => {
  daemon = await startTestDaemon();
  client = await daemon.connect();
});
afterAll(async () => {
  await daemon.dispose();
});

async function create(name: string, more: { ttl_secs?: number; idle_suspend_secs?: number } = {}) {
  return await client.call('workspace_create', { name, memory_mb: 256, vcpus: 1, ...more });
}

const stateOf = async (name: string): Promise<string> =>
  (await client.call('workspace_info', { workspace_id: name })).state;

describe('a machine', () => {
  const machine = 'm';
  beforeAll(async () => {
    await create(machine);
    await startCounting(client, machine);
  });
  afterAll(async () => {
    await client.call('workspace_destroy', { workspace_id: machine });
  });

  it('that is paused does nothing, and its clock is right when it goes on', async () => {
    await client.call('workspace_pause', { workspace_id: machine });
    expect((await client.call('workspace_pause', { workspace_id: machine })).state).toBe('paused');
    const uptime = async (): Promise<number> =>
      Number((await sh(client, machine, 'cat /proc/uptime')).split(' ')[0]);
    const error = await refusal(sh(client, machine, 'true'));
    expect(error).toMatchObject({ code: 'wrong_state', next: expect.stringContaining('resume') });
    await delay(3_000);
    await client.call('workspace_resume', { workspace_id: machine });
    const before = Date.now();
    const seconds = Number(await sh(client, machine, 'date +%s.%N'));
    expect(seconds * 1000).toBeGreaterThan(before - 1_000);
    expect(seconds * 1000).toBeLessThan(Date.now() + 1_000);
    const count = await counted(client, machine);
    await expect.poll(() => counted(client, machine), patience).toBeGreaterThan(count);
    expect(await uptime()).toBeGreaterThan(0);
  });

  it('counts no time while it is paused', async () => {
    const uptime = async (): Promise<number> =>
      Number((await sh(client, machine, 'cat /proc/uptime')).split(' ')[0]) * 1000;
    const [guest, host] = [await uptime(), performance.now()];
    await client.call('workspace_pause', { workspace_id: machine });
    await delay(4_000);
    await client.call('workspace_resume', { workspace_id: machine });
    const passed = performance.now() - host;
    expect((await uptime()) - guest).toBeLessThan(passed - 3_000);
  });

  it('that is paused is still so for the next daemon', async () => {
    await client.call('workspace_pause', { workspace_id: machine });
    await daemon.kill();
    await daemon.start();
    client = await daemon.connect();
    expect(await stateOf(machine)).toBe('paused');
    await client.call('workspace_resume', { workspace_id: machine });
    const count = await counted(client, machine);
    await expect.poll(() => counted(client, machine), patience).toBeGreaterThan(count);
  });

  it('that is suspended has no process, and goes on where it was', async () => {
    const { guest } = await client.call('workspace_info', { workspace_id: machine });
    const before = await counted(client, machine);
    const suspended = await client.call('workspace_suspend', { workspace_id: machine });
    expect(suspended).toMatchObject({ state: 'suspended' });
    expect(suspended.memory_bytes).toBeGreaterThan(1024 ** 2);
    expect(daemon.machines()).toEqual([]);
    await expectSound(daemon, client);
    await client.call('workspace_resume', { workspace_id: machine });
    const now = await counted(client, machine);
    expect(now).toBeGreaterThanOrEqual(before);
    await expect.poll(() => counted(client, machine), patience).toBeGreaterThan(now);
    const after = await client.call('workspace_info', { workspace_id: machine });
    expect(after.guest?.boot_id).toBe(guest?.boot_id);
    // Its memory was of use once.
    expect(rows(daemon.paths, 'SELECT id FROM memory')).toEqual([]);
    await expectSound(daemon, client);
  });

  it('that is suspended survives the daemon, and wakes for whoever uses it', async () => {
    const before = await counted(client, machine);
    await client.call('workspace_suspend', { workspace_id: machine });
    await daemon.kill();
    await daemon.start();
    client = await daemon.connect();
    expect(await stateOf(machine)).toBe('suspended');
    expect(await counted(client, machine)).toBeGreaterThanOrEqual(before);
    expect(await stateOf(machine)).toBe('running');
  });

  it('that is suspended can be given up: stopped it boots from its disk', async () => {
    await sh(client, machine, 'echo kept > /workspace/kept; sync');
    await client.call('workspace_suspend', { workspace_id: machine });
    expect((await client.call('workspace_stop', { workspace_id: machine })).state).toBe('stopped');
    expectNothingLost(daemon);
    await client.call('workspace_start', { workspace_id: machine });
    expect(await sh(client, machine, 'cat /workspace/kept; ls /run/count || true')).toBe('kept');
  });
});

describe('a lifetime', () => {
  afterEach(async () => {
    for (const { workspace_id } of await client.call('workspace_list', {})) {
      await client.call('workspace_destroy', { workspace_id });
    }
  });

  it('is endless, and nothing is suspended, where nobody asked for it', async () => {
    const made = await create('plain');
    expect(made.expires_at).toBeNull();
    const info = await client.call('workspace_info', { workspace_id: 'plain' });
    expect(info.idle_suspend_secs).toBe(0);
    await delay(3_000);
    expect(await stateOf('plain')).toBe('running');
  });

  it('ends with the machine and everything of it', async () => {
    const made = await create('mortal', { ttl_secs: 3600 });
    expect(new Date(made.expires_at ?? 0).getTime()).toBeGreaterThan(Date.now() + 3_000_000);
    await client.call('snapshot_create', {
      workspace_id: 'mortal',
      name: 's',
      include_memory: true,
    });
    await client.call('workspace_configure', { workspace_id: 'mortal', ttl_secs: 1 });
    await expect
      .poll(async () => (await client.call('workspace_list', {})).length, patience)
      .toBe(0);
    await expect.poll(() => daemon.machines(), patience).toEqual([]);
    await expectSound(daemon, client);
    const kept = await create('kept', { ttl_secs: 3600 });
    const { expires_at } = await client.call('workspace_configure', {
      workspace_id: kept.workspace_id,
      ttl_secs: 0,
    });
    expect(expires_at).toBeNull();
  });

  it('of idleness suspends the machine; a use wakes it, and it is suspended again', async () => {
    await create('idle', { idle_suspend_secs: 2 });
    await sh(client, 'idle', 'echo here > /run/here');
    await expect.poll(() => stateOf('idle'), patience).toBe('suspended');
    expect(await sh(client, 'idle', 'cat /run/here')).toBe('here');
    await expect.poll(() => stateOf('idle'), patience).toBe('suspended');
  });

  it('of idleness does not end while somebody is there, or a program works', async () => {
    await create('used', { idle_suspend_secs: 2 });
    const open = await client.call('process_open', { workspace_id: 'used', command: 'sleep 600' });
    const stream = await client.openStream(open.ticket);
    await delay(6_000);
    expect(await stateOf('used')).toBe('running');
    await client.call('process_start', {
      workspace_id: 'used',
      command: 'timeout 8 sh -c "while :; do :; done"',
    });
    stream.destroy();
    await delay(5_000);
    expect(await stateOf('used')).toBe('running');
    await expect.poll(() => stateOf('used'), patience).toBe('suspended');
  });
});
