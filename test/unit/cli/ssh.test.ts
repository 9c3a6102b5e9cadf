/** The real ssh of this host against `coppice ssh-proxy` and a daemon whose machine is this host. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { once } from 'node:events';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { sshFolder, type SshFolder } from '../../../helper-daemon/cli/ssh/folder.ts';
import { startCli } from './runCli.ts';
import { startSshDaemon, type SshDaemon } from './sshDaemon.ts';

interface Ended {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

let daemon: SshDaemon;
let directory = '';
let folder: SshFolder;
const children = new Set<ChildProcessWithoutNullStreams>();

beforeAll(async () => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'cop-ssh-'));
  process.env['COPPICE_HOME'] = directory;
  folder = sshFolder();
  daemon = await startSshDaemon();
  expect(await cli('ssh-config', '--json')).toMatchObject({ code: 0 });
});
afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  Object.assign(daemon.machines[0] ?? {}, { state: 'running' });
});
afterAll(async () => {
  delete process.env['COPPICE_HOME'];
  await daemon.close();
  fs.rmSync(directory, { recursive: true, force: true });
});

async function cli(...args: string[]): Promise<Ended> {
  const { child, done } = startCli(daemon.socketPath, ...args);
  child.stdin.end();
  return await done;
}

function start(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): ChildProcessWithoutNullStreams {
  const child = spawn('ssh', ['-F', folder.config, '-o', 'BatchMode=yes', ...args], {
    env: { ...process.env, ...env },
  });
  children.add(child);
  child.once('close', () => children.delete(child));
  child.stdin.on('error', () => undefined);
  return child;
}

async function ended(child: ChildProcessWithoutNullStreams): Promise<Ended> {
  const stdout: Buffer[] = [];
  let stderr = '';
  child.stdout.on('data', (data: Buffer) => stdout.push(data));
  child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
  return await new Promise((resolve) => {
    child.once('close', (code) => resolve({ code, stdout: Buffer.concat(stdout), stderr }));
  });
}

async function ssh(args: readonly string[], input: string | Uint8Array = ''): Promise<Ended> {
  const child = start(args);
  child.stdin.end(input);
  return await ended(child);
}

const lastOpened = (): Readonly<Record<string, unknown>> => daemon.opened.at(-1) ?? {};

describe('a command over ssh', () => {
  it('has its exit code, and stdout and stderr apart', async () => {
    const result = await ssh(['demo.coppice', 'echo out; echo err >&2; exit 7']);
    expect({ ...result, stdout: result.stdout.toString() }).toEqual({
      code: 7,
      stdout: 'out\n',
      stderr: 'err\n',
    });
    expect(lastOpened()).toEqual({
      workspace_id: daemon.machines[0]?.id,
      login: true,
      command: 'echo out; echo err >&2; exit 7',
      user: 'root',
      env: {},
      stdin: true,
      label: 'ssh',
    });
  });

  it('is what the account of the user name runs, with the variables that were sent', async () => {
    const child = start(['-l', 'dev', '-o', 'SendEnv=LC_THING', 'coppice-demo', 'echo $LC_THING'], {
      LC_THING: 'one two',
    });
    child.stdin.end();
    expect((await ended(child)).stdout.toString()).toBe('one two\n');
    expect(lastOpened()).toMatchObject({ user: 'dev', env: { LC_THING: 'one two' } });
  });

  it('gets standard input to its end', async () => {
    const input = randomBytes(5_000_000);
    const { stdout } = await ssh(['demo.coppice', 'cat'], input);
    expect(stdout.equals(input)).toBe(true);
  });

  it('carries both streams byte by byte while each waits for the window in turn, and over new keys', async () => {
    const file = path.join(directory, 'noise');
    const noise = randomBytes(8_000_000);
    fs.writeFileSync(file, noise);
    const child = start([
      '-o',
      'RekeyLimit=3M',
      'demo.coppice',
      `cat ${file}; cat ${file} >&2; cat ${file}; cat ${file} >&2`,
    ]);
    const received = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
    // A reader that is slow to begin: the windows of the channel are full by then.
    await new Promise((resolve) => setTimeout(resolve, 500));
    child.stdout.on('data', (data: Buffer) => received.stdout.push(data));
    child.stderr.on('data', (data: Buffer) => received.stderr.push(data));
    await new Promise((resolve) => child.once('close', resolve));
    const twice = Buffer.concat([noise, noise]);
    expect(Buffer.concat(received.stdout).equals(twice)).toBe(true);
    expect(Buffer.concat(received.stderr).equals(twice)).toBe(true);
  });

  it('is held back while nobody reads its output', async () => {
    const count = path.join(directory, 'count');
    const child = start([
      'demo.coppice',
      `i=0; while :; do head -c 1000000 /dev/zero; i=$((i+1)); echo $i > ${count}; done`,
    ]);
    child.stdout.pause();
    const written = (): number => Number(fs.existsSync(count) ? fs.readFileSync(count, 'utf8') : 0);
    await expect.poll(written, { timeout: 10_000 }).toBeGreaterThan(0);
    let before = -1;
    await expect
      .poll(
        () => {
          const now = written();
          const still = now === before;
          before = now;
          return still;
        },
        { interval: 500, timeout: 10_000 },
      )
      .toBe(true);
    expect(before).toBeLessThan(50);
  });

  it('learns as in a pipe that nobody reads its output any more', async () => {
    const child = start(['demo.coppice', 'yes']);
    child.stdout.once('data', () => child.stdout.destroy());
    await ended(child);
    expect(daemon.streams()).toBe(0);
    expect(daemon.controls).toContainEqual({ signal: os.constants.signals.SIGPIPE });
  });

  it('ends with 255 when a signal ended it, as with sshd', async () => {
    expect((await ssh(['demo.coppice', 'kill -TERM $$'])).code).toBe(255);
  });

  it('is a login shell where none is given', async () => {
    const { stdout } = await ssh(['-T', 'demo.coppice'], 'echo from stdin\n');
    expect(stdout.toString()).toBe('from stdin\n');
    expect(lastOpened()).toMatchObject({ login: true });
    expect(lastOpened()).not.toHaveProperty('command');
  });

  it('has a terminal where one is asked for', async () => {
    const child = start(['-tt', 'demo.coppice', 'echo $TERM'], { TERM: 'xterm-kitty' });
    child.stdin.end();
    expect((await ended(child)).stdout.toString()).toContain('xterm-kitty');
    expect(lastOpened()).toMatchObject({ terminal: { columns: 80, rows: 24 } });
  });

  it('is gone when ssh is', async () => {
    const child = start(['demo.coppice', 'echo ready; exec sleep 1000']);
    await new Promise((resolve) => child.stdout.once('data', resolve));
    expect(daemon.streams()).toBe(1);
    child.kill('SIGKILL');
    await expect.poll(() => daemon.streams(), { timeout: 10_000 }).toBe(0);
    await expect.poll(() => daemon.connections(), { timeout: 10_000 }).toBe(0);
  });
});

describe('a daemon that goes away', () => {
  it('ends the connection, also one that waits', async () => {
    const mortal = await startSshDaemon();
    process.env['COPPICE_HOME'] = path.join(directory, 'mortal');
    await startCli(mortal.socketPath, 'ssh-config').done;
    const { config } = sshFolder();
    process.env['COPPICE_HOME'] = directory;
    const idle = start(['-F', config, '-N', '-v', 'demo.coppice']);
    const end = ended(idle);
    await expect.poll(() => mortal.connections(), { timeout: 10_000 }).toBe(1);
    await mortal.close();
    const { code, stderr } = await end;
    expect([code, stderr]).toEqual([255, expect.stringMatching(/daemon/)]);
  });
});

describe('beside commands', () => {
  it('SFTP is a service of the machine', async () => {
    const { stdout } = await ssh(['-s', 'demo.coppice', 'sftp'], 'bytes');
    expect(stdout.toString()).toBe('bytes');
    expect(lastOpened()).toMatchObject({ subsystem: 'sftp', user: 'root', stdin: true });
    expect((await ssh(['-s', 'demo.coppice', 'other'])).code).toBe(255);
  });

  it('connections begin in the machine', async () => {
    const server = net.createServer({ allowHalfOpen: true }, (socket) => {
      const got: Buffer[] = [];
      socket.on('data', (data) => got.push(data));
      socket.once('end', () => socket.end(Buffer.concat([Buffer.from('got '), ...got])));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as net.AddressInfo;
    const body = randomBytes(3_000_000);
    const { stdout } = await ssh(['-W', `127.0.0.1:${String(port)}`, 'demo.coppice'], body);
    expect(stdout.equals(Buffer.concat([Buffer.from('got '), body]))).toBe(true);
    expect(lastOpened()).toEqual({ workspace_id: daemon.machines[0]?.id, host: '127.0.0.1', port });
    server.close();
  });

  it('a connection that cannot be made is refused', async () => {
    const server = net.createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as net.AddressInfo;
    server.close();
    await once(server, 'close');
    const { code, stderr } = await ssh(['-W', `127.0.0.1:${String(port)}`, 'demo.coppice']);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/open failed/);
  });

  it('what cannot be had is refused, and the command runs', async () => {
    const { code, stdout, stderr } = await ssh([
      '-A',
      '-R',
      '0:localhost:1',
      'demo.coppice',
      'echo on',
    ]);
    expect([code, stdout.toString()]).toEqual([0, 'on\n']);
    expect(stderr).toContain('remote port forwarding failed');
  });

  it('several sessions share one connection', async () => {
    const control = ['-o', `ControlPath=${path.join(directory, 'ctl')}`];
    const master = ended(start([...control, '-M', '-N', 'demo.coppice']));
    await expect
      .poll(() => fs.existsSync(path.join(directory, 'ctl')), { timeout: 10_000 })
      .toBe(true);
    // A proxy that cannot be had: whatever works comes through the master.
    const through = [...control, '-o', 'ProxyCommand=false', 'demo.coppice'];
    const results = await Promise.all(
      [1, 2, 3, 4].map((n) => ssh([...through, `sleep 0.1; echo ${String(n)}; exit ${String(n)}`])),
    );
    expect(results.map(({ code, stdout }) => [code, stdout.toString()])).toEqual(
      [1, 2, 3, 4].map((n) => [n, `${String(n)}\n`]),
    );
    const waiting = start([...through, 'while :; do echo here; sleep 0.1; done']);
    await new Promise((resolve) => waiting.stdout.once('data', resolve));
    waiting.kill('SIGKILL');
    await expect.poll(() => daemon.streams(), { timeout: 10_000 }).toBe(0);
    expect((await ssh([...control, '-O', 'exit', 'demo.coppice'])).code).toBe(0);
    await master;
  });
});

describe('who may connect', () => {
  it('needs a key of the machine or of its user', async () => {
    const other = path.join(directory, 'other');
    await new Promise((resolve) => {
      spawn('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', other]).once('close', resolve);
    });
    const lines = fs.readFileSync(folder.config, 'utf8').split('\n');
    const config = path.join(directory, 'config');
    fs.writeFileSync(config, lines.filter((line) => !line.includes('IdentityFile')).join('\n'));
    const denied = await ssh(['-F', config, '-i', other, 'demo.coppice', 'true']);
    expect(denied.code).toBe(255);
    expect(denied.stderr).toContain('Permission denied (publickey)');
    const { client } = folder.keysOf(daemon.machines[0]?.id ?? '');
    for (const key of [client, folder.userKey]) {
      expect((await ssh(['-F', config, '-i', key, 'demo.coppice', 'true'])).code).toBe(0);
    }
  });

  it('sees other keys in a new machine of an old name, without being asked', async () => {
    const [machine] = daemon.machines;
    if (machine === undefined) throw new Error('no machine');
    const { id } = machine;
    await ssh(['demo.coppice', 'true']);
    const before = fs.readFileSync(folder.keysOf(id).host, 'utf8');
    machine.id = '11111111-89ab-4def-8123-456789abcdef';
    // The config still names the old machine.
    const result = await ssh(['demo.coppice', 'echo new']);
    expect([result.stdout.toString(), result.stderr]).toEqual(['new\n', '']);
    expect(fs.readFileSync(folder.keysOf(machine.id).host, 'utf8')).not.toBe(before);
    await cli('ssh-config');
    expect(fs.existsSync(folder.keysOf(id).directory)).toBe(false);
    expect(fs.readFileSync(folder.knownHosts, 'utf8')).not.toContain(id);
    expect((await ssh(['demo.coppice', 'true'])).code).toBe(0);
    machine.id = id;
  });

  it('does not trust another key of a known machine', async () => {
    await ssh(['demo.coppice', 'true']);
    const [id = ''] = daemon.machines.map((machine) => machine.id);
    fs.rmSync(folder.keysOf(id).host);
    const { code, stderr } = await ssh(['demo.coppice', 'true']);
    expect(code).toBe(255);
    expect(stderr).toContain('REMOTE HOST IDENTIFICATION HAS CHANGED');
    fs.rmSync(folder.knownHosts);
    expect((await ssh(['demo.coppice', 'true'])).code).toBe(0);
  });

  it('can begin many connections to new machines at once', async () => {
    const names = ['a', 'b', 'c', 'd'];
    const added = names.map((name, index) => ({
      id: `2222222${String(index)}-89ab-4def-8123-456789abcdef`,
      name,
      state: 'running',
    }));
    daemon.machines.push(...added);
    const results = await Promise.all(
      [...names, ...names].map((name) => ssh([`${name}.coppice`, `echo ${name}`])),
    );
    expect(results.map(({ stderr }) => stderr).join('')).toBe('');
    expect(results.map(({ stdout }) => stdout.toString())).toEqual(
      [...names, ...names].map((name) => `${name}\n`),
    );
    daemon.machines.splice(1);
  }, 60_000);
});

describe('a machine that is stopped', () => {
  it('says so, and how to start it', async () => {
    Object.assign(daemon.machines[0] ?? {}, { state: 'stopped' });
    for (const { code, stderr } of [
      await ssh(['demo.coppice', 'true']),
      await cli('ssh', 'demo', '--', 'true'),
    ]) {
      expect(code).toBe(255);
      expect(stderr).toContain(
        'error: The machine demo is stopped.\nnext:  Start it: coppice start demo\n',
      );
    }
  });

  it('is started where that is asked for, once or in the config', async () => {
    Object.assign(daemon.machines[0] ?? {}, { state: 'stopped' });
    expect((await cli('ssh', '--start', 'demo', '--', 'echo started')).stdout.toString()).toBe(
      'started\n',
    );
    Object.assign(daemon.machines[0] ?? {}, { state: 'stopped' });
    await cli('ssh-config', '--start', 'yes');
    // A later rewrite keeps what was chosen.
    await cli('ssh-config');
    expect((await ssh(['demo.coppice', 'echo started'])).stdout.toString()).toBe('started\n');
    await cli('ssh-config', '--start', 'no');
    Object.assign(daemon.machines[0] ?? {}, { state: 'stopped' });
    expect((await ssh(['demo.coppice', 'true'])).code).toBe(255);
  });
});

describe('coppice ssh', () => {
  it('runs ssh with its options and ends as it does', async () => {
    const { code, stdout } = await cli(
      'ssh',
      'demo',
      '-l',
      'dev',
      '-o',
      'SetEnv=A=1',
      '--',
      'echo $A; exit 9',
    );
    expect([code, stdout.toString()]).toEqual([9, '1\n']);
    expect(lastOpened()).toMatchObject({ user: 'dev', env: { A: '1' } });
  });

  it('takes several words as a program and its arguments', async () => {
    expect((await cli('ssh', 'demo', '--', 'echo', '$HOME', '*')).stdout.toString()).toBe(
      '$HOME *\n',
    );
  });
});
