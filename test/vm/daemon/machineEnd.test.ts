import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CoppiceClient } from '../../../helper-daemon/client/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/testDaemon.ts';

let daemon: TestDaemon;
let client: CoppiceClient;

beforeAll(async () => {
  daemon = await startTestDaemon();
  client = await daemon.connect();
  await client.call('workspace_create', { name: 'w' });
});
afterAll(async () => {
  await daemon.dispose();
});

async function stopped(): Promise<unknown> {
  for (;;) {
    const info = await client.call('workspace_info', { workspace_id: 'w' });
    if (info.state === 'stopped') return info.problem;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe('a machine that ends', () => {
  it('by the guest shutting itself down is stopped without a problem', async () => {
    await client
      .call('exec', {
        workspace_id: 'w',
        command: 'echo kept > /workspace/kept; sync; echo b > /proc/sysrq-trigger',
        timeout_secs: 20,
      })
      .catch(() => undefined);
    expect(await stopped()).toBeNull();
  });

  it('starts again with its files', async () => {
    const started = await client.call('workspace_start', { workspace_id: 'w' });
    expect(started.state).toBe('running');
    const { content } = await client.call('file_read', {
      workspace_id: 'w',
      path: '/workspace/kept',
    });
    expect(content).toBe('kept\n');
  });

  it('by a kernel panic keeps the last words of its console', async () => {
    await client
      .call('exec', {
        workspace_id: 'w',
        command: 'echo c > /proc/sysrq-trigger',
        timeout_secs: 20,
      })
      .catch(() => undefined);
    expect(await stopped()).toMatch(/panic/i);
    const { console: text } = await client.call('workspace_logs', { workspace_id: 'w' });
    expect(text).toMatch(/Kernel panic/);
    await client.call('workspace_start', { workspace_id: 'w' });
  });

  it('by a kill -9 of QEMU says so, and calls fail with what to do', async () => {
    const [pid] = daemon.machines();
    process.kill(pid ?? 0, 'SIGKILL');
    expect(await stopped()).toMatch(/machine ended/i);
    await expect(client.call('exec', { workspace_id: 'w', command: 'true' })).rejects.toMatchObject(
      { code: 'wrong_state', next: expect.stringContaining('coppice start') },
    );
    await client.call('workspace_start', { workspace_id: 'w' });
    const ran = await client.call('exec', { workspace_id: 'w', command: 'cat /workspace/kept' });
    expect(ran.stdout).toBe('kept\n');
  });
});
