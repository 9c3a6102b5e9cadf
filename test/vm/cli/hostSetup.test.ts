/** init, check, serve and status: a host from nothing, without a machine. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cliFor, type Cli } from '../support/cliRunner.ts';

const patience = { timeout: 30_000, interval: 50 };
let home: string;
let cli: Cli;

beforeEach(() => {
  home = mkdtempSync(path.join(os.tmpdir(), 'cop-'));
  cli = cliFor(home, { COPPICE_TEMPLATES: '0' });
});
afterEach(async () => {
  await cli.run(['daemon', 'stop']);
  rmSync(home, { recursive: true, force: true });
});

const configFile = (): string => path.join(home, 'config.toml');

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as net.AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

describe('coppice init', () => {
  it('sets up a host from nothing, and changes nothing the second time', async () => {
    const first = await cli.ok('init', '-y');
    expect(first).toContain(`✓ Configuration (${configFile()} was written`);
    expect(first).toContain('✓ Default image');
    expect(first).toContain('✓ Verification');
    expect(first).toContain('coppice create demo');
    const { images } = await cli.json<{ images: { name: string }[] }>('image', 'list');
    expect(images.map(({ name }) => name)).toEqual(['debian-dev']);
    writeFileSync(configFile(), '[log]\nlevel = "debug"\n');
    expect(await cli.ok('init', '-y')).toContain('stays as it is');
    expect(readFileSync(configFile(), 'utf8')).toBe('[log]\nlevel = "debug"\n');
  });

  it('goes on after a step that fails, and says so in the end', async () => {
    const { code, stdout } = await cli.run(['init', '-y', 'zfs', '--pool', 'no-such-pool']);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^✗ Storage \(.*\)\n {2}Fix: /m);
    expect(stdout).toContain('✓ Default image');
    expect(stdout).not.toContain('Try next');
  });

  it('leaves the storage alone to its own command, too', async () => {
    expect(await cli.ok('storage', 'init', 'qcow2')).toContain('New disks live in qcow2 files');
  });
});

describe('coppice check', () => {
  it('names line and key of a configuration that is wrong, and fails', async () => {
    writeFileSync(configFile(), '# mine\n[metrics]\nport = "no"\n');
    const { code, stdout } = await cli.run(['check']);
    expect(code).toBe(1);
    expect(stdout).toContain(`${configFile()}:3: metrics.port: must be a whole number`);
    // The daemon does not start with it, which is the second.
    expect(stdout.trimEnd()).toMatch(/\n[2-9] check\(s\) failed$/);
  });

  it('warns of a key without meaning and passes', async () => {
    await cli.ok('image', 'build', 'debian-dev');
    writeFileSync(configFile(), '[metrics]\nprot = 1\n');
    const text = await cli.ok('check');
    expect(text).toContain(`! Configuration (${configFile()}:2: metrics.prot: `);
    expect(text.trimEnd()).toMatch(/\nAll checks passed\.$/);
  });
});

describe('coppice serve', () => {
  it('without input is a daemon that stays until a signal, with its metrics', async () => {
    const port = await freePort();
    const child = spawn(cli.launcher, ['serve', '--metrics-port', String(port)], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: cli.env,
    });
    const ended = once(child, 'exit');
    const health = async (): Promise<unknown> =>
      await fetch(`http://127.0.0.1:${String(port)}/healthz`).then(
        (answer) => answer.json(),
        () => undefined,
      );
    await expect.poll(health, patience).toMatchObject({ status: 'ok' });
    const status = await cli.json<{ pid: number }>('status');
    expect(status.pid).toBe(child.pid);
    child.kill('SIGTERM');
    expect((await ended)[0]).toBe(0);
    expect(await health()).toBeUndefined();
  });

  it('with somebody at the other end of a pipe is the MCP server', async () => {
    const params = {
      protocolVersion: '2025-06-18',
      capabilities: {},
      clientInfo: { name: 'test', version: '0' },
    };
    const { child, done } = cli.start(['serve'], {
      input: `${JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'initialize', params })}\n`,
    });
    const { stdout } = await done;
    expect(child.exitCode).toBe(0);
    expect(JSON.parse(stdout.split('\n')[0] ?? '')).toMatchObject({
      id: 1,
      result: { capabilities: { tools: {} } },
    });
  });

  it('refuses a port that is none', async () => {
    const { code, stderr } = await cli.run(['serve', '--metrics-port', '0']);
    expect(code).toBe(2);
    expect(stderr).toContain('--metrics-port must be from 1 to 65535');
  });
});

describe('coppice status', () => {
  it('shows the daemon and then the machines', async () => {
    const text = await cli.ok('status');
    expect(text).toContain(path.join(home, 'state'));
    expect(text.trimEnd().split('\n').at(-1)).toContain('There are no machines yet');
  });
});
