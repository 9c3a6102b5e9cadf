/** The real ssh, scp, sftp, rsync and git of this host with a real machine: no sshd in it, and no network. */
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cliFor, type Cli } from '../support/cliRunner.ts';
import { startTestDaemon, type TestDaemon } from '../support/testDaemon.ts';

interface Ended {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

let daemon: TestDaemon;
let cli: Cli;
let directory = '';
let config = '';
let env: Record<string, string> = {};

beforeAll(async () => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'cop-ssh-'));
  daemon = await startTestDaemon();
  cli = cliFor(daemon.home);
  await cli.ok('create', 'demo');
  ({ config } = await cli.json<{ config: string }>('ssh-config'));
  // git takes its ssh from here; the others are told by -F or -e.
  env = { ...cli.env, GIT_SSH_COMMAND: `ssh -F ${config}`, GIT_CONFIG_GLOBAL: '/dev/null' };
});
afterAll(async () => {
  fs.rmSync(directory, { recursive: true, force: true });
  await daemon.dispose();
});

async function run(
  file: string,
  args: readonly string[],
  input: string | Uint8Array = '',
): Promise<Ended> {
  const child = spawn(file, args, { env, cwd: directory });
  const stdout: Buffer[] = [];
  let stderr = '';
  child.stdout.on('data', (data: Buffer) => stdout.push(data));
  child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  return await new Promise((resolve) => {
    child.once('close', (code) => resolve({ code, stdout: Buffer.concat(stdout), stderr }));
  });
}

const withConfig = (): string[] => ['-F', config, '-o', 'BatchMode=yes'];
const ssh = (args: readonly string[], input?: string | Uint8Array): Promise<Ended> =>
  run('ssh', [...withConfig(), ...args], input);

/** Fails the test when the command does. */
async function ok(file: string, args: readonly string[], input?: string): Promise<string> {
  const { code, stdout, stderr } = await run(file, args, input);
  expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
  return stdout.toString();
}

async function there(command: string): Promise<string> {
  return await cli.ok('exec', 'demo', '--', command);
}

const here = (name: string): string => path.join(directory, name);
const digest = (file: string): string =>
  createHash('sha256').update(fs.readFileSync(file)).digest('hex');

async function portFree(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe('ssh', () => {
  it('has the exit code of the command, and its stdout and stderr apart', async () => {
    const { code, stdout, stderr } = await ssh(['demo.coppice', 'echo out; echo err >&2; exit 7']);
    expect([code, stdout.toString(), stderr]).toEqual([7, 'out\n', 'err\n']);
    expect((await cli.run(['ssh', 'demo', '--', 'exit 9'])).code).toBe(9);
  });

  it('is the account’s own shell in its home, as with sshd', async () => {
    expect(await ok('ssh', [...withConfig(), 'demo.coppice', 'pwd; echo $USER $SHELL'])).toBe(
      '/root\nroot /bin/bash\n',
    );
    await there('useradd -m -s /bin/sh dev');
    expect(
      await ok('ssh', [...withConfig(), 'dev@demo.coppice', 'id -un; pwd; echo $HOME $SHELL']),
    ).toBe('dev\n/home/dev\n/home/dev /bin/sh\n');
    const nobody = await ssh(['no-such-user@demo.coppice', 'true']);
    expect(nobody.code).toBe(255);
    expect(nobody.stderr).toContain('no-such-user');
  });

  it('carries variables', async () => {
    expect(
      await ok('ssh', [
        ...withConfig(),
        '-o',
        'SetEnv=LC_A="one two"',
        'demo.coppice',
        'echo $LC_A',
      ]),
    ).toBe('one two\n');
  });

  it('carries 32 MiB through standard input and output', async () => {
    const input = randomBytes(32 << 20);
    const { stdout } = await ssh(['demo.coppice', 'cat'], input);
    expect(stdout.equals(input)).toBe(true);
  });

  it('has a terminal of its own, with sizes and keys', async () => {
    const child = spawn(
      'script',
      ['-qec', `stty rows 33 cols 111; exec ssh -F ${config} demo.coppice`, '/dev/null'],
      { env: { ...env, TERM: 'xterm' }, stdio: 'pipe' },
    );
    let seen = '';
    child.stdout.on('data', (data: Buffer) => (seen += data.toString()));
    const done = new Promise((resolve) => child.once('close', resolve));
    const appears = (what: string | RegExp): Promise<void> =>
      expect.poll(() => seen, { timeout: 60_000 }).toMatch(what);
    await appears(/[$#] $/);
    child.stdin.write("stty size; tty; sh -c 'echo it sl''eeps; exec sleep 1000'\n");
    await appears('33 111');
    await appears('/dev/pts/');
    await appears('it sleeps');
    child.stdin.write('\u0003');
    await appears(/\^C[^]*[$#] $/);
    child.stdin.write('exit 3\n');
    expect(await done).toBe(3);
  });

  it('ends with 255 when a signal ended the command', async () => {
    expect((await ssh(['demo.coppice', 'kill -KILL $$'])).code).toBe(255);
  });

  it('ends commands whose reader or client has gone', async () => {
    expect(
      await ok('sh', ['-c', `ssh -F ${config} demo.coppice 'yes coppice-reader' | head -1`]),
    ).toBe('coppice-reader\n');
    const child = spawn('ssh', [...withConfig(), 'demo.coppice', 'echo on; exec sleep 7654'], {
      env,
    });
    await new Promise((resolve) => child.stdout.once('data', resolve));
    child.kill('SIGKILL');
    await expect
      .poll(
        async () =>
          (await cli.run(['exec', 'demo', '--', 'pgrep -fx "sleep 7654|yes coppice-reader"']))
            .stdout,
        { timeout: 30_000 },
      )
      .toBe('');
  });

  it('leaves in the background what was put there', async () => {
    const left = 'nohup sleep 8765 >/dev/null 2>&1 & echo left';
    expect(await ok('ssh', [...withConfig(), 'demo.coppice', left])).toBe('left\n');
    expect(await there('pgrep -cfx "sleep 8765"')).toBe('1\n');
    await there('pkill -fx "sleep 8765"');
  });

  it('runs several at once, also over one connection', async () => {
    const control = ['-o', `ControlPath=${here('ctl')}`];
    const numbers = [1, 2, 3, 4];
    const eachSays = async (options: readonly string[]): Promise<void> => {
      const results = await Promise.all(
        numbers.map((n) =>
          ssh([...options, 'demo.coppice', `echo ${String(n)}; exit ${String(n)}`]),
        ),
      );
      expect(results.map(({ code, stdout }) => [code, stdout.toString()])).toEqual(
        numbers.map((n) => [n, `${String(n)}\n`]),
      );
    };
    await eachSays([]);
    await ok('ssh', [
      ...withConfig(),
      ...control,
      '-M',
      '-f',
      '-N',
      '-o',
      'ControlPersist=60',
      'demo.coppice',
    ]);
    // A proxy that cannot be had: whatever works comes over the connection that is there.
    await eachSays([...control, '-o', 'ProxyCommand=false']);
    await run('ssh', [...withConfig(), ...control, '-O', 'exit', 'demo.coppice']);
  });

  it('leads ports of this host into the machine', async () => {
    await there('mkdir -p /srv/www && echo served > /srv/www/page');
    await cli.ok(
      'jobs',
      'start',
      'demo',
      '--',
      'cd /srv/www && exec python3 -m http.server 8123 --bind 127.0.0.1',
    );
    const [local, socks] = [await portFree(), await portFree()];
    const control = ['-o', `ControlPath=${here('fwd')}`];
    await ok('ssh', [
      ...withConfig(),
      ...control,
      ...[
        '-o',
        'ControlPersist=60',
        '-M',
        '-f',
        '-N',
        '-L',
        `${String(local)}:localhost:8123`,
        '-D',
        String(socks),
      ],
      'demo.coppice',
    ]);
    try {
      const page = async (...args: string[]): Promise<string> =>
        (await run('curl', ['-sS', '--noproxy', '', ...args])).stdout.toString();
      await expect
        .poll(() => page(`http://127.0.0.1:${String(local)}/page`), { timeout: 60_000 })
        .toBe('served\n');
      expect(
        await page('--socks5-hostname', `127.0.0.1:${String(socks)}`, 'http://localhost:8123/page'),
      ).toBe('served\n');
    } finally {
      await run('ssh', [...withConfig(), ...control, '-O', 'exit', 'demo.coppice']);
    }
    // As VS Code and ProxyJump do it.
    const got = await ssh(['-W', 'localhost:8123', 'demo.coppice'], 'GET /page HTTP/1.0\r\n\r\n');
    expect(got.stdout.toString()).toMatch(/served\n$/);
  });
});

describe('files', () => {
  it('go both ways with scp, 32 MiB and whole directories', async () => {
    fs.writeFileSync(here('big'), randomBytes(32 << 20), { mode: 0o640 });
    await ok('scp', [...withConfig(), '-p', here('big'), 'demo.coppice:/srv/big']);
    expect(await there('sha256sum /srv/big | cut -c1-64; stat -c %a /srv/big')).toBe(
      `${digest(here('big'))}\n640\n`,
    );
    await ok('scp', [...withConfig(), 'demo.coppice:/srv/big', here('back')]);
    expect(digest(here('back'))).toBe(digest(here('big')));
    fs.mkdirSync(here('tree/sub'), { recursive: true });
    fs.writeFileSync(here('tree/sub/a b'), 'spaces');
    fs.writeFileSync(here('tree/run'), '#!/bin/sh\n', { mode: 0o755 });
    await ok('scp', [...withConfig(), '-rp', here('tree'), 'demo.coppice:/srv/tree']);
    expect(await there("cat '/srv/tree/sub/a b'; stat -c %a /srv/tree/run")).toBe('spaces755\n');
    await ok('scp', [...withConfig(), '-rp', 'demo.coppice:/srv/tree', here('tree2')]);
    expect(await ok('diff', ['-r', here('tree'), here('tree2')])).toBe('');
    const missing = await run('scp', [...withConfig(), 'demo.coppice:/srv/none', here('none')]);
    expect([missing.code, missing.stderr]).toEqual([1, expect.stringContaining('No such file')]);
  });

  it('are managed with sftp', async () => {
    fs.writeFileSync(here('note'), 'note\n');
    const batch = [
      'mkdir /srv/box',
      `put ${here('note')} /srv/box/note`,
      'rename /srv/box/note /srv/box/letter',
      'chmod 600 /srv/box/letter',
      'symlink letter /srv/box/link',
      'ls -l /srv/box',
      `get /srv/box/link ${here('letter')}`,
      'rm /srv/box/link',
    ].join('\n');
    const said = await ok('sftp', [...withConfig(), '-b', '-', 'demo.coppice'], `${batch}\n`);
    expect(said).toMatch(/-rw------- .* letter/);
    expect(fs.readFileSync(here('letter'), 'utf8')).toBe('note\n');
    expect(await there('ls /srv/box')).toBe('letter\n');
  });

  it('are kept equal with rsync', async () => {
    const shell = ['-e', `ssh -F ${config}`];
    fs.mkdirSync(here('sync/deep'), { recursive: true });
    fs.writeFileSync(here('sync/deep/data'), randomBytes(3_000_000));
    fs.symlinkSync('deep/data', here('sync/link'));
    await ok('rsync', ['-a', ...shell, `${here('sync')}/`, 'demo.coppice:/srv/sync/']);
    expect(await there('sha256sum /srv/sync/link | cut -c1-64')).toBe(
      `${digest(here('sync/deep/data'))}\n`,
    );
    await there('echo more >> /srv/sync/deep/data; rm /srv/sync/link');
    await ok('rsync', ['-a', '--delete', ...shell, 'demo.coppice:/srv/sync/', `${here('sync')}/`]);
    expect(fs.readdirSync(here('sync'))).toEqual(['deep']);
    expect(await there('sha256sum /srv/sync/deep/data | cut -c1-64')).toBe(
      `${digest(here('sync/deep/data'))}\n`,
    );
  });

  it('are cloned and pushed with git, by both spellings', async () => {
    await there(
      'git init -q --bare -b main /srv/repo.git && git -c init.defaultBranch=main init -q /srv/work && cd /srv/work && echo one > f && git add f && git -c user.name=a -c user.email=a@b commit -qm one && git push -q /srv/repo.git main',
    );
    await ok('git', ['clone', '-q', 'demo.coppice:/srv/repo.git', here('clone')]);
    fs.appendFileSync(here('clone/f'), 'two\n');
    await ok('git', [
      '-C',
      here('clone'),
      '-c',
      'user.name=a',
      '-c',
      'user.email=a@b',
      'commit',
      '-qam',
      'two',
    ]);
    await ok('git', ['-C', here('clone'), 'push', '-q']);
    expect(await there('git -C /srv/repo.git log --format=%s main')).toBe('two\none\n');
    await ok('git', ['clone', '-q', 'ssh://demo.coppice/srv/repo.git', here('again')]);
    expect(fs.readFileSync(here('again/f'), 'utf8')).toBe('one\ntwo\n');
  });
});

describe('machines', () => {
  it('are known by name and id from the moment they are made, and have keys of their own', async () => {
    const made = await cli.json<{ workspace_id: string }>('create', 'later');
    expect(await ok('ssh', [...withConfig(), 'later.coppice', 'echo yes'])).toBe('yes\n');
    expect(await ok('ssh', [...withConfig(), `${made.workspace_id}.coppice`, 'echo yes'])).toBe(
      'yes\n',
    );
    const knownHosts = path.join(path.dirname(config), 'known_hosts');
    const keyOf = (id: string): string | undefined =>
      fs
        .readFileSync(knownHosts, 'utf8')
        .split('\n')
        .find((line) => line.endsWith(id))
        ?.split(' ')[2];
    const before = keyOf(made.workspace_id);
    await cli.ok('destroy', 'later');
    const gone = await ssh(['later.coppice', 'true']);
    expect([gone.code, gone.stderr]).toEqual([255, expect.stringContaining('later')]);
    const again = await cli.json<{ workspace_id: string }>('create', 'later');
    const result = await ssh(['later.coppice', 'echo new']);
    expect([result.stdout.toString(), result.stderr]).toEqual(['new\n', '']);
    expect(keyOf(again.workspace_id)).not.toBe(before);
    await cli.ok('ssh', 'later', '--', 'true');
    expect(keyOf(made.workspace_id)).toBeUndefined();
    expect(fs.existsSync(path.join(path.dirname(config), made.workspace_id))).toBe(false);
    await cli.ok('destroy', 'later');
  });

  it('refuse other keys', async () => {
    await ok('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', here('other')]);
    const keyless = here('keyless');
    fs.writeFileSync(
      keyless,
      fs
        .readFileSync(config, 'utf8')
        .split('\n')
        .filter((line) => !line.includes('IdentityFile'))
        .join('\n'),
    );
    const { code, stderr } = await run('ssh', [
      '-F',
      keyless,
      '-i',
      here('other'),
      'demo.coppice',
      'true',
    ]);
    expect([code, stderr]).toEqual([255, expect.stringContaining('Permission denied (publickey)')]);
  });

  it('go on by themselves when suspended, and say how to start them when stopped', async () => {
    await cli.ok('create', 'sleepy');
    await cli.ok('suspend', 'sleepy');
    expect(await ok('ssh', [...withConfig(), 'sleepy.coppice', 'echo awake'])).toBe('awake\n');
    await cli.ok('stop', 'sleepy');
    for (const { code, stderr } of [
      await ssh(['sleepy.coppice', 'true']),
      await cli.run(['ssh', 'sleepy', '--', 'true']),
    ]) {
      expect(code).toBe(255);
      expect(stderr).toContain(
        'The machine sleepy is stopped.\nnext:  Start it: coppice start sleepy\n',
      );
    }
    expect(await cli.ok('ssh', '--start', 'sleepy', '--', 'echo up')).toBe('up\n');
    await cli.ok('destroy', 'sleepy');
  });
});
