import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { linkSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectClient, type CoppiceClient } from '../../../helper-daemon/client/client.ts';
import {
  daemonProgram,
  leftovers,
  startTestDaemon,
  type TestDaemon,
} from '../support/testDaemon.ts';

const isRoot = process.getuid?.() === 0;

function statusOf(pid: number): Record<string, string> {
  const lines = readFileSync(`/proc/${String(pid)}/status`, 'utf8').split('\n');
  return Object.fromEntries(lines.map((line) => line.split(':\t') as [string, string]));
}

function cgroupsOf(runId: string): string[] {
  return readdirSync('/sys/fs/cgroup', { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith(`vm-${runId}`),
  );
}

// Only root can give machines accounts of their own.
describe.skipIf(!isRoot)('system mode', () => {
  let daemon: TestDaemon;
  let client: CoppiceClient;

  beforeAll(async () => {
    daemon = await startTestDaemon('system');
    client = await daemon.connect();
    for (const name of ['a', 'b']) await client.call('workspace_create', { name });
  });
  afterAll(async () => {
    await daemon.dispose();
  });

  it('runs every machine under an account of its own, without capabilities, under seccomp', () => {
    const statuses = daemon.machines().map((pid) => statusOf(pid));
    expect(statuses).toHaveLength(2);
    const uids = statuses.map((status) => Number(status['Uid']?.split('\t')[0]));
    expect(new Set(uids).size).toBe(2);
    for (const [index, status] of statuses.entries()) {
      expect(uids[index]).toBeGreaterThan(1_000_000_000);
      expect(status).toMatchObject({ NoNewPrivs: '1', Seccomp: '2' });
      for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
        expect(status[set]).toMatch(/^0+$/);
      }
    }
  });

  it('gives each allowed user a socket of their own, through which no host file can be read', async () => {
    const socket = path.join(daemon.paths.runtime, `${String(daemon.allowedUid)}.sock`);
    const { uid, mode } = statSync(socket);
    expect({ uid, mode: mode & 0o777 }).toEqual({ uid: daemon.allowedUid, mode: 0o600 });
    const user = await connectClient(socket, { name: 'user', version: '0' });
    expect(await user.call('workspace_list', {})).toHaveLength(2);
    await expect(
      user.call('image_import', { source: '/etc/shadow', name: 'stolen' }),
    ).rejects.toMatchObject({ code: 'permission_denied' });
    user.close();
  });

  it("keeps one machine's account out of another's disk", () => {
    const disks = path.join(daemon.paths.state, 'disks');
    const owners = readdirSync(disks).map((name) => {
      const { uid, mode } = statSync(path.join(disks, name));
      return { uid, mode: mode & 0o777 };
    });
    expect(owners.map(({ mode }) => mode)).toEqual([0o600, 0o600]);
    // They pass through, but cannot list.
    expect(statSync(disks).mode & 0o777).toBe(0o711);
    expect(new Set(owners.map(({ uid }) => uid)).size).toBe(2);
  });

  it('takes machines over after kill -9 and removes account, cgroup and files with the workspace', async () => {
    const runIds = readdirSync(daemon.paths.runtime).filter((name) => name.length === 36);
    await daemon.kill();
    await daemon.start();
    client = await daemon.connect();
    const { stdout } = await client.call('exec', { workspace_id: 'a', command: 'echo here' });
    expect(stdout).toBe('here\n');
    for (const workspace_id of ['a', 'b']) await client.call('workspace_destroy', { workspace_id });
    expect(daemon.machines()).toEqual([]);
    expect(leftovers(daemon.paths)).toEqual([]);
    expect(runIds.flatMap((runId) => cgroupsOf(runId))).toEqual([]);
  });
});

describe('socket activation', () => {
  it('serves the listening socket that systemd passes', async () => {
    const home = mkdtempSync(path.join(os.tmpdir(), 'cop-'));
    const socketPath = path.join(home, 'activated.sock');
    const server = net.createServer();
    server.listen(socketPath);
    await once(server, 'listening');
    // Node removes the path when it closes its copy of the socket.
    const keptPath = path.join(home, 'kept.sock');
    linkSync(socketPath, keptPath);
    const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
    const child = spawn(
      '/bin/sh',
      [
        '-c',
        'LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" --no-warnings "$1" --user',
        process.execPath,
        daemonProgram,
      ],
      { stdio: ['ignore', 'ignore', 'inherit', fd], env: { ...process.env, COPPICE_HOME: home } },
    );
    try {
      server.close();
      const client = await connectClient(keptPath, { name: 'test', version: '0' });
      expect(await client.call('workspace_list', {})).toEqual([]);
      client.close();
    } finally {
      const gone = once(child, 'exit');
      child.kill('SIGTERM');
      await gone;
      rmSync(home, { recursive: true, force: true });
    }
  });
});
