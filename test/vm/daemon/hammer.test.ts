/**
 * Three clients of three kinds at work on one daemon at once: an agent over MCP, a program over JSON-RPC, a person
 * with the command line. Afterwards nothing of them may be left. COPPICE_HAMMER_SECS says for how long.
 */
import { readdirSync, writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connectAgent, type Agent } from '../support/agentClient.ts';
import { cliFor, type Cli } from '../support/cliRunner.ts';
import { expectSound } from '../support/storedState.ts';
import { leftovers, startTestDaemon, type TestDaemon } from '../support/testDaemon.ts';

const seconds = Number(process.env['COPPICE_HAMMER_SECS'] ?? '20');

let daemon: TestDaemon;
let settings: string;

beforeAll(async () => {
  settings = mkdtempSync(path.join(os.tmpdir(), 'coppice-settings-'));
  const file = path.join(settings, 'config.toml');
  writeFileSync(file, '[rate_limit]\nenabled = false\n');
  daemon = await startTestDaemon('user', { env: { COPPICE_CONFIG: file } });
});

afterAll(async () => {
  await daemon.dispose();
  rmSync(settings, { recursive: true, force: true });
});

/** Runs rounds until the time is over; resolves to how many. */
async function repeat(until: number, round: (number: number) => Promise<void>): Promise<number> {
  let number = 0;
  while (Date.now() < until) {
    number += 1;
    await round(number);
  }
  return number;
}

/** As an agent tries, breaks, rolls back and compares. */
async function agentRound(agent: Agent, number: number): Promise<void> {
  const name = `agent-${String(number)}`;
  const at = { workspace_id: name };
  await agent.ok('workspace_create', { name, vcpus: 1, memory_mb: 256 });
  await agent.ok('file_write', { ...at, path: '/srv/state', content: 'good' });
  await agent.ok('snapshot', {
    ...at,
    action: 'create',
    name: 'good',
    include_memory: number % 2 === 0,
  });
  await agent.ok('exec', { ...at, command: 'echo bad > /srv/state; rm -rf /usr/share/doc' });
  const { job_id } = await agent.ok<{ job_id: number }>('exec_background', {
    ...at,
    action: 'start',
    command: 'yes | head -c 3000000',
  });
  await agent.ok('exec_background', { ...at, action: 'poll', job_id, wait_secs: 5 });
  const forks = await agent.ok<{ workers?: { name: string }[] }>('workspace_fork', {
    ...at,
    snapshot_name: 'good',
    count: 2,
    name_prefix: `${name}-fork`,
  });
  await agent.ok('snapshot', { ...at, action: 'restore', name: 'good' });
  const { text } = await agent.tool('file_read', { ...at, path: '/srv/state' });
  expect(text).toBe('good');
  for (const fork of forks.workers ?? []) {
    await agent.ok('workspace_destroy', { workspace_id: fork.name });
  }
  await agent.ok('workspace_destroy', at);
}

/** As a program that gives calls up in the middle. */
async function programRound(number: number): Promise<void> {
  const client = await daemon.connect('program');
  const name = `program-${String(number)}`;
  if (number % 3 === 0) {
    const gone = client.call('workspace_create', { name, vcpus: 1, memory_mb: 256 });
    gone.catch(() => undefined);
    await client.call('workspace_list', {});
    client.close();
    await gone.catch(() => undefined);
    return;
  }
  await client.call('workspace_create', { name, vcpus: 1, memory_mb: 256, ephemeral: true });
  const at = { workspace_id: name };
  await client.call('exec', { ...at, command: 'head -c 2000000 /dev/urandom > /srv/blob' });
  const cancelled = client.call(
    'exec',
    { ...at, command: 'sleep 600' },
    { signal: AbortSignal.timeout(300) },
  );
  await expect(cancelled).rejects.toMatchObject({ code: expect.any(String) as string });
  await client.call('snapshot_create', { ...at, name: 'blob' });
  await client.call('workspace_pause', at);
  await client.call('workspace_resume', at);
  // Its machine goes with it.
  client.close();
}

async function personRound(cli: Cli, number: number): Promise<void> {
  const name = `person-${String(number)}`;
  await cli.ok('create', name, '-c', '1', '-m', '256');
  await cli.ok('exec', name, '--', 'uname', '-r');
  const listed = await cli.json<{ name: string }[]>('list');
  expect(listed.map((workspace) => workspace.name)).toContain(name);
  await cli.ok('stop', name);
  await cli.ok('start', name);
  await cli.ok('destroy', name);
}

it('leave nothing behind', { timeout: (seconds + 240) * 1000 }, async () => {
  const agent = await connectAgent(daemon, 'hammer');
  const openFiles = (): number => readdirSync(`/proc/${String(daemon.pid())}/fd`).length;
  const client = await daemon.connect();
  const before = openFiles();
  const until = Date.now() + seconds * 1000;
  const rounds = await Promise.all([
    repeat(until, (number) => agentRound(agent, number)),
    repeat(until, programRound),
    repeat(until, (number) => personRound(cliFor(daemon.home), number)),
  ]);
  for (const count of rounds) expect(count).toBeGreaterThan(0);
  await agent.close();
  await expect
    .poll(async () => (await client.call('workspace_list', {})).map(({ name }) => name), {
      timeout: 60_000,
    })
    .toEqual([]);
  await expectSound(daemon, client);
  await expect.poll(() => leftovers(daemon.paths), { timeout: 30_000 }).toEqual([]);
  expect(daemon.machines()).toEqual([]);
  // Connections of clients that are gone, sockets of machines, memory files: none is kept.
  await expect.poll(openFiles, { timeout: 30_000 }).toBeLessThanOrEqual(before + 4);
  process.stdout.write(`rounds: agent ${rounds.join(', ')} (agent, program, person)\n`);
});
