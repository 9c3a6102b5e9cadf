import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { CoppiceClient } from '../../../helper-daemon/client/client.ts';
import { alter, expectSound, flipByte, memoryFile, rows } from '../support/storedState.ts';
import { startTestDaemon, type TestDaemon } from '../support/testDaemon.ts';
import { sh } from '../support/workspaceSteps.ts';

const patience = { timeout: 60_000, interval: 200 };
const small = { vcpus: 1, memory_mb: 256 };
let daemon: TestDaemon;
let client: CoppiceClient;

beforeAll(async () => {
  daemon = await startTestDaemon('user', { templates: true });
  client = await daemon.connect();
});
afterEach(async () => {
  for (const { workspace_id } of await client.call('workspace_list', {})) {
    await client.call('workspace_destroy', { workspace_id });
  }
});
afterAll(async () => {
  await daemon.dispose();
});

async function restart(between: () => void = () => undefined): Promise<void> {
  await daemon.stop();
  between();
  await daemon.start();
  client = await daemon.connect();
}

const templates = async () => (await client.call('pool_status', {})).template_list;

describe('a template', () => {
  it('is built after the first machine of its kind, out of sight', async () => {
    const first = await client.call('workspace_create', { name: 'first', ...small });
    expect(first).toMatchObject({ from_template: false, from_pool: false });
    await expect
      .poll(async () => (await templates()).map(({ state }) => state), patience)
      .toEqual(['ready']);
    expect(await client.call('workspace_list', {})).toHaveLength(1);
    expect(daemon.machines()).toHaveLength(1);
    expect((await templates())[0]).toMatchObject({ base_image: 'debian-dev', ...small });
    await expectSound(daemon, client);
  });

  it('gives machines what was asked for: name, processors, memory, a larger disk', async () => {
    const asked = { name: 'large', ...small, disk_gb: 25 };
    const made = await client.call('workspace_create', asked);
    expect(made).toMatchObject({
      from_template: true,
      resources: { ...small, disk_gb: 25 },
    });
    const info = await client.call('workspace_info', { workspace_id: 'large' });
    const [hostname, processors, megabytes, gigabytes, machineId] = (
      await sh(
        client,
        'large',
        `uname -n; nproc; awk '/MemTotal/ {print int($2 / 1024)}' /proc/meminfo
         df -BG --output=size / | tail -1 | tr -dc 0-9; echo; cat /etc/machine-id`,
      )
    ).split('\n');
    expect(hostname).toBe('large');
    expect(machineId).toBe(info.guest?.machine_id);
    expect(Number(processors)).toBe(1);
    expect(Number(megabytes)).toBeGreaterThan(180);
    expect(Number(megabytes)).toBeLessThanOrEqual(256);
    expect(Number(gigabytes)).toBeGreaterThanOrEqual(24);
    await sh(client, 'large', 'echo mine > /workspace/mine; sync');
    await client.call('workspace_stop', { workspace_id: 'large' });
    await client.call('workspace_start', { workspace_id: 'large' });
    expect(await sh(client, 'large', 'cat /workspace/mine')).toBe('mine');
  });

  it('makes machines that are nobody but themselves', async () => {
    const names = ['a', 'b'];
    for (const name of names) await client.call('workspace_create', { name, ...small });
    const look =
      'uname -n; cat /etc/machine-id /proc/sys/kernel/random/uuid /sys/class/net/eth0/address';
    const [a, b] = await Promise.all(
      names.map(async (name) => (await sh(client, name, look)).split('\n')),
    );
    for (const [index, fact] of (a ?? []).entries()) expect(fact).not.toBe(b?.[index]);
  });

  it('is not used for a machine of another size', async () => {
    const made = await client.call('workspace_create', { name: 'other', vcpus: 1, memory_mb: 320 });
    expect(made.from_template).toBe(false);
    const { stdout } = await client.call('exec', { workspace_id: 'other', command: 'echo on' });
    expect(stdout).toBe('on\n');
  });

  it('can be turned off, and asked for', async () => {
    await client.call('pool_set', { templates: 'off' });
    const booted = await client.call('workspace_create', { name: 'booted', ...small });
    expect(booted.from_template).toBe(false);
    await client.call('pool_set', { templates: 'on' });
    const before = (await templates()).map(({ template_id }) => template_id);
    const same = await client.call('pool_prepare', small);
    expect(before).toContain(same.template_id);
    const rebuilt = await client.call('pool_prepare', { ...small, rebuild: true });
    expect(before).not.toContain(rebuilt.template_id);
    expect((await templates()).filter(({ memory_mb }) => memory_mb === 256)).toHaveLength(1);
    await expectSound(daemon, client);
  });

  it('of other versions is dropped and built anew', async () => {
    await client.call('pool_prepare', small);
    await restart(() => {
      alter(daemon.paths, "UPDATE template SET key = replace(key, 'sha256', 'sha255')");
    });
    expect(await templates()).toEqual([]);
    await expectSound(daemon, client);
    const made = await client.call('workspace_create', { name: 'booted', ...small });
    expect(made.from_template).toBe(false);
    await client.call('pool_prepare', small);
    const next = await client.call('workspace_create', { name: 'next', ...small });
    expect(next.from_template).toBe(true);
  });

  it('whose memory was altered is dropped, and the machine boots', async () => {
    await client.call('pool_prepare', small);
    await restart(() => {
      for (const { memory_id } of rows(daemon.paths, 'SELECT memory_id FROM template')) {
        flipByte(memoryFile(daemon.paths, String(memory_id)));
      }
    });
    const made = await client.call('workspace_create', { name: 'booted', ...small });
    expect(made).toMatchObject({ from_template: false, state: 'running' });
    expect(await sh(client, 'booted', 'echo on')).toBe('on');
    await expect
      .poll(async () => (await templates()).map(({ state }) => state), patience)
      .toEqual(['ready']);
    await expectSound(daemon, client);
  });
});

describe('a daemon killed while it builds a template', () => {
  it.each([
    ['while the machine boots', 'create', 200],
    ['while the machine is frozen', 'freeze', 0],
    ['while memory is written', 'freeze', 60],
    ['while the machine is removed', 'destroy', 0],
  ])('%s, leaves a whole template or nothing', async (_at, kind, wait) => {
    const before = (await templates()).length;
    const kindOf = { vcpus: 1, memory_mb: 272 };
    let over = false;
    const building = client.call('pool_prepare', { ...kindOf, rebuild: true }).then(
      () => (over = true),
      () => (over = true),
    );
    const begun = (): boolean =>
      rows(daemon.paths, 'SELECT 1 FROM journal WHERE kind = ?', kind).length > 0;
    while (!over && !begun()) await delay(1);
    await delay(wait);
    await daemon.kill();
    await building;
    await daemon.start();
    client = await daemon.connect();
    expect(daemon.machines()).toEqual([]);
    expect([before, before + 1]).toContain((await templates()).length);
    await expectSound(daemon, client);
  });

  it('makes machines from the next one', async () => {
    const kind = { vcpus: 1, memory_mb: 272 };
    await client.call('pool_prepare', kind);
    const made = await client.call('workspace_create', { name: 'made', ...kind });
    expect(made.from_template).toBe(true);
    expect(await sh(client, 'made', 'uname -n')).toBe('made');
  });
});

describe('a pool', () => {
  afterAll(async () => {
    await client.call('pool_set', { size: 0 });
  });
  const ready = async (): Promise<number> => (await client.call('pool_status', {})).ready;

  it('keeps machines ready that nobody sees, and fills up again', async () => {
    await client.call('pool_set', { size: 2 });
    await expect.poll(ready, patience).toBe(2);
    expect(await client.call('workspace_list', {})).toEqual([]);
    expect(daemon.machines()).toHaveLength(2);
    const made = await client.call('workspace_create', { name: 'quick' });
    expect(made).toMatchObject({ from_pool: true, from_template: true, name: 'quick' });
    const info = await client.call('workspace_info', { workspace_id: 'quick' });
    expect(await sh(client, 'quick', 'uname -n; cat /etc/machine-id')).toBe(
      `quick\n${info.guest?.machine_id ?? '?'}`,
    );
    await expect.poll(ready, patience).toBe(2);
    expect(daemon.machines()).toHaveLength(3);
  });

  it('does not serve who asks for something else', async () => {
    const made = await client.call('workspace_create', { name: 'other', ...small });
    expect(made).toMatchObject({ from_pool: false, resources: small });
    expect(Number(await sh(client, 'other', 'nproc'))).toBe(1);
  });

  it('ends with the daemon, also when that is killed', async () => {
    await expect.poll(ready, patience).toBe(2);
    await daemon.stop();
    expect(daemon.machines()).toEqual([]);
    await daemon.start();
    client = await daemon.connect();
    await expect.poll(ready, patience).toBe(2);
    const before = daemon.machines();
    await daemon.kill();
    await daemon.start();
    client = await daemon.connect();
    for (const pid of before) expect(daemon.machines()).not.toContain(pid);
    await expect.poll(ready, patience).toBe(2);
    await expectSound(daemon, client);
  });

  it('shrinks to the size it is given, also while it is being filled', async () => {
    await client.call('pool_set', { size: 4 });
    await client.call('pool_set', { size: 0 });
    await expect.poll(() => daemon.machines(), patience).toEqual([]);
    expect(await ready()).toBe(0);
  });
});
