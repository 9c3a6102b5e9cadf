import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync, statfsSync } from 'node:fs';
import path from 'node:path';
import { setImmediate as soon } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { CoppiceClient } from '../../../helper-daemon/client/client.ts';
import { isRoot, mountLoop, type Mount } from '../storage/mounts.ts';
import { expectSound } from '../support/storedState.ts';
import { startTestDaemon, type TestDaemon } from '../support/testDaemon.ts';
import { drawTree, refusal, sh } from '../support/workspaceSteps.ts';

const machine = 'w';
const mib = 1024 ** 2;

// Only root can mount a small file system.
describe.skipIf(!isRoot)('a disk that is full', () => {
  let mount: Mount;
  let daemon: TestDaemon;
  let client: CoppiceClient;
  let tree: string[];
  const filler = (): string => path.join(mount.directory, 'suddenly');

  beforeAll(async () => {
    mount = await mountLoop(['mkfs.ext4', '-q', '-m', '0'], 1152 * mib);
    daemon = await startTestDaemon('user', { home: mount.directory });
    client = await daemon.connect();
    await client.call('workspace_create', { name: machine, memory_mb: 256, vcpus: 1 });
    await sh(client, machine, 'echo base > /workspace/mark; sync');
    for (const include_memory of [false, true]) {
      const name = include_memory ? 'live' : 'base';
      await client.call('snapshot_create', { workspace_id: machine, name, include_memory });
    }
    await sh(client, machine, 'echo work > /workspace/mark; sync');
    tree = await drawTree(client, machine);
  });
  afterEach(async () => {
    await mount.drain();
    for (const n of [1, 2, 3]) rmSync(`${filler()}${String(n)}`, { force: true });
    expect(await sh(client, machine, 'cat /workspace/mark; echo on > /workspace/on; sync')).toBe(
      'work',
    );
    expect(await drawTree(client, machine)).toEqual(tree);
    await expectSound(daemon, client);
  });
  afterAll(async () => {
    await daemon.dispose();
    await mount.close();
  });

  const operations: readonly [string, () => Promise<unknown>][] = [
    ['a snapshot', () => client.call('snapshot_create', { workspace_id: machine, name: 'x' })],
    [
      'a snapshot with memory',
      () =>
        client.call('snapshot_create', { workspace_id: machine, name: 'x', include_memory: true }),
    ],
    ['a fork', () => client.call('workspace_fork', { workspace_id: machine, new_name: 'x' })],
    [
      'a fork of a snapshot',
      () => client.call('workspace_fork', { workspace_id: machine, snapshot_name: 'live' }),
    ],
    ['a restore', () => client.call('snapshot_restore', { workspace_id: machine, name: 'live' })],
    [
      'a restore that saves the present',
      () => client.call('snapshot_restore', { workspace_id: machine, name: 'base', save_as: 'x' }),
    ],
    ['a suspend', () => client.call('workspace_suspend', { workspace_id: machine })],
  ];

  it.each(operations)(
    'refuses %s as no_space and leaves the machine as it was',
    async (_what, act) => {
      await mount.fill();
      expect(await refusal(act())).toMatchObject({ code: 'no_space', next: expect.any(String) });
    },
  );

  /** Takes the room at once, as a neighbour on the same disk may. */
  function takeRoom(): void {
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      const { bavail, bsize } = statfsSync(mount.directory);
      const file = `${filler()}${String(attempt)}`;
      // What does not fit has taken what there was.
      spawnSync('fallocate', ['-l', String(bavail * bsize), file]);
    }
  }

  async function whenMemoryIsWritten(act: () => Promise<unknown>): Promise<string> {
    const directory = path.join(daemon.paths.state, 'memory');
    let over = false;
    const refused = refusal(act()).finally(() => (over = true));
    refused.catch(() => undefined);
    const writing = (): boolean =>
      existsSync(directory) && readdirSync(directory).some((name) => name.endsWith('.partial'));
    while (!over && !writing()) await soon();
    takeRoom();
    return (await refused).code;
  }

  it('in the middle of a snapshot with memory leaves no trace of it', async () => {
    expect(
      await whenMemoryIsWritten(() =>
        client.call('snapshot_create', { workspace_id: machine, name: 'x', include_memory: true }),
      ),
    ).toBe('no_space');
  });

  it('in the middle of a suspend lets the machine run on', async () => {
    expect(
      await whenMemoryIsWritten(() => client.call('workspace_suspend', { workspace_id: machine })),
    ).toBe('no_space');
    const { state } = await client.call('workspace_info', { workspace_id: machine });
    expect(state).toBe('running');
  });

  it('does not keep anybody from deleting a snapshot', async () => {
    await client.call('snapshot_create', {
      workspace_id: machine,
      name: 'x',
      include_memory: true,
    });
    await mount.fill();
    await client.call('snapshot_delete', { workspace_id: machine, name: 'x' });
  });
});
