/** The daemon may end and come back at any time; an MCP session goes on. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectAgent, type Agent } from '../support/agentClient.ts';
import { startTestDaemon, type TestDaemon } from '../support/testDaemon.ts';

let daemon: TestDaemon;
let agent: Agent;

beforeAll(async () => {
  daemon = await startTestDaemon();
  // A named socket is one that a client never starts a daemon for.
  agent = await connectAgent(daemon, 'alice', { env: { COPPICE_SOCKET: daemon.paths.socket } });
  await agent.ok('workspace_create', { name: 'box', vcpus: 1, memory_mb: 256 });
});

beforeEach(async () => {
  await agent.ok('workspace_list');
});

afterAll(async () => {
  await agent?.close();
  await daemon?.dispose();
});

async function underWay(mark: string): Promise<void> {
  const person = await daemon.connect();
  for (;;) {
    const { exit_code } = await person.call('exec', {
      workspace_id: 'box',
      command: `pgrep -f '^sleep ${mark}$'`,
    });
    if (exit_code === 0) break;
    await delay(50);
  }
  person.close();
}

async function fileOf(path: string): Promise<{ readonly content: string }> {
  const client = await daemon.connect();
  const file = await client.call('file_read', { workspace_id: 'box', path });
  client.close();
  return file;
}

describe('a daemon that was killed', () => {
  it('and started again is found by the next call', async () => {
    await daemon.kill();
    await daemon.start();
    expect(await agent.ok('exec', { workspace_id: 'box', command: 'echo on' })).toMatchObject({
      stdout: 'on\n',
    });
  });

  it('and is just being started again is waited for', async () => {
    await daemon.kill();
    const call = agent.ok('workspace_info', { workspace_id: 'box' });
    await delay(500);
    await daemon.start();
    expect(await call).toMatchObject({ name: 'box' });
  });

  it('and stays away is named, with nothing done and the session alive', async () => {
    await daemon.kill();
    const failure = await agent.failure('exec', { workspace_id: 'box', command: 'true' });
    expect(failure).toMatchObject({
      code: 'daemon_unavailable',
      message: expect.stringMatching(/^Nothing was done/),
      next: expect.stringMatching(/Try again/),
      details: { retryable: true },
    });
    expect((await agent.client.listTools()).tools.length).toBeGreaterThan(0);
    await daemon.start();
    expect(await agent.ok('workspace_info', { workspace_id: 'box' })).toMatchObject({
      state: 'running',
    });
  });

  it('during a call that must not act twice leaves its outcome open', async () => {
    const call = agent.failure('exec', { workspace_id: 'box', command: 'exec sleep 88881' });
    await underWay('88881');
    await daemon.kill();
    await daemon.start();
    expect(await call).toMatchObject({
      code: 'outcome_unknown',
      next: expect.stringMatching(/idempotency_key/),
    });
  });

  it('during a call that may be repeated lets it be answered by the next one', async () => {
    const polled = await agent.ok<{ job_id: number }>('exec_background', {
      workspace_id: 'box',
      action: 'start',
      command: 'sleep 4; echo done',
    });
    const poll = agent.ok('exec_background', {
      workspace_id: 'box',
      action: 'poll',
      job_id: polled.job_id,
      wait_secs: 60,
    });
    await delay(300);
    await daemon.kill();
    await daemon.start();
    expect(await poll).toMatchObject({ running: false, exit_code: 0, stdout: 'done\n' });
  });

  it('during a call with an idempotency key does not make it act twice', async () => {
    const call = agent.failure('exec', {
      workspace_id: 'box',
      command: 'echo ran >> /tmp/runs; exec sleep 88882',
      idempotency_key: 'once',
    });
    await underWay('88882');
    await daemon.kill();
    await daemon.start();
    // The repeated call is answered by the daemon, which knows that the first was interrupted.
    expect(await call).toMatchObject({ message: expect.stringMatching(/may have acted/) });
    const { content } = await fileOf('/tmp/runs');
    expect(content).toBe('ran\n');
  });

  it('goes on telling of changes when it is back', async () => {
    const updated: string[] = [];
    agent.client.setNotificationHandler('notifications/resources/updated', ({ params }) => {
      updated.push(params.uri);
    });
    const uri = 'coppice://workspaces/box/snapshots';
    await agent.client.subscribeResource({ uri });
    await daemon.kill();
    await daemon.start();
    const person = await daemon.connect();
    // It reconnects by itself; nothing is called for alice here.
    while (updated.length === 0) await delay(50);
    updated.length = 0;
    await person.call('snapshot_create', { workspace_id: 'box', name: 'after' });
    while (updated.length === 0) await delay(50);
    expect(new Set(updated)).toEqual(new Set([uri]));
    person.close();
  });
});

describe('a daemon that nobody has started', () => {
  it('is started by the first call that needs it', async () => {
    await daemon.stop();
    const other = await connectAgent(daemon, 'alice', { env: { COPPICE_NETWORK: 'user' } });
    expect(await other.ok('workspace_info', { workspace_id: 'box' })).toMatchObject({
      state: 'running',
    });
    const person = await daemon.connect();
    const started = person.server.server.pid;
    await other.close();
    expect(() => process.kill(started, 0)).not.toThrow();
    await person.call('daemon_stop', {}).catch(() => undefined);
    while (alive(started)) await delay(20);
  });
});

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
