import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { execFile, execFileSync } from 'node:child_process';
import { promisify } from 'node:util';
import fc from 'fast-check';
import keyParser from 'ssh2/lib/protocol/keyParser.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { renderConfig, startsMachines } from '../../../helper-daemon/cli/ssh/config.ts';
import { sshFolder } from '../../../helper-daemon/cli/ssh/folder.ts';
import { workspaceOf } from '../../../helper-daemon/cli/ssh/hostNames.ts';
import { newPrivateKey } from '../../../helper-daemon/cli/ssh/keyFormat.ts';
import { ensureKey, publicText } from '../../../helper-daemon/cli/ssh/keys.ts';
import { withHost, withoutOthers } from '../../../helper-daemon/cli/ssh/knownHosts.ts';
import {
  editUserConfig,
  includeLine,
  includes,
  withInclude,
  withoutInclude,
} from '../../../helper-daemon/cli/ssh/userConfig.ts';
import { startCli } from './runCli.ts';
import { startSshDaemon } from './sshDaemon.ts';

const runFile = promisify(execFile);
let directory = '';
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'cop-sshc-'));
});
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

const id = '01234567-89ab-4def-8123-456789abcdef';
const other = '11111111-89ab-4def-8123-456789abcdef';

/** What ssh itself makes of a config. */
function asked(config: string, host: string): (key: string) => string[] {
  const file = path.join(directory, 'asked');
  fs.writeFileSync(file, config, { mode: 0o600 });
  const lines = execFileSync('ssh', ['-G', '-F', file, host], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
    .toString()
    .split('\n');
  return (key) =>
    lines.filter((line) => line.startsWith(`${key} `)).map((line) => line.slice(key.length + 1));
}

describe('the config', () => {
  const folder = sshFolder('/home/some one/100%');
  const source = {
    folder,
    workspaces: [{ workspace_id: id, name: 'Demo' }],
    proxy: ['env', 'A=', '/opt/no de', "it's", 'ssh-proxy'],
    start: false,
  };

  it.each(['Demo.coppice', 'coppice-Demo'])('leads %s to its machine', (host) => {
    const of = asked(renderConfig(source), host);
    expect(of('proxycommand')).toEqual([
      `env A= '/opt/no de' 'it'\\''s' ssh-proxy -- Demo.coppice`,
    ]);
    expect(of('hostkeyalias')).toEqual(['demo.coppice']);
    expect(of('identityfile')).toEqual([
      folder.keysOf(id).client.replaceAll('%', '%%'),
      folder.userKey.replaceAll('%', '%%'),
    ]);
    expect(of('user')).toEqual(['root']);
    expect(of('stricthostkeychecking')).toEqual(['true']);
  });

  it('leads hosts that it does not know to their machines, and others nowhere', () => {
    const of = asked(renderConfig(source), 'later.coppice');
    expect(of('proxycommand')[0]).toMatch(/ssh-proxy -- 'later\.coppice'$|ssh-proxy -- '%n'$/);
    expect(of('identityfile')).toEqual([folder.userKey.replaceAll('%', '%%')]);
    expect(asked(renderConfig(source), 'coppice-server')('proxycommand')).toEqual([]);
  });

  it('wins over what the user says of all hosts', () => {
    const later = 'Host *\n  ProxyJump bastion\n  Ciphers aes256-ctr\n  StrictHostKeyChecking no\n';
    const of = asked(`${renderConfig(source)}\n${later}`, 'Demo.coppice');
    expect(of('proxyjump')).toEqual([]);
    expect(of('ciphers')[0]).toContain('aes128-gcm');
    expect(of('stricthostkeychecking')).toEqual(['true']);
  });

  it('remembers whether connections start machines', () => {
    const starting = renderConfig({ ...source, start: true });
    expect(starting).toContain('ssh-proxy --start -- Demo.coppice');
    expect([startsMachines(starting), startsMachines(renderConfig(source))]).toEqual([true, false]);
  });

  it.each(['/a"b', '/a\\b', '/a\nb', '/a${HOME}'])('refuses the directory %j', (state) => {
    expect(() => renderConfig({ ...source, folder: sshFolder(state) })).toThrow('cannot be told');
  });

  it('means the machine x.coppice by x.coppice.coppice', () => {
    expect(['x', 'x.coppice', 'x.coppice.coppice'].map(workspaceOf)).toEqual([
      'x',
      'x',
      'x.coppice',
    ]);
  });
});

describe('keys', () => {
  it('can be read by ssh, and every one of them by us', async () => {
    const file = path.join(directory, 'keys', 'key');
    const key = await ensureKey(file, 'a comment');
    expect(fs.statSync(file).mode & 0o777).toBe(0o600);
    const { stdout } = await runFile('ssh-keygen', ['-y', '-f', file]);
    expect(stdout).toBe(`${publicText(key)} a comment\n`);
    expect(publicText(await ensureKey(file, 'other'))).toBe(publicText(key));
    // Numbers that begin with zeros are the rare ones.
    for (let round = 0; round < 1500; round += 1) {
      const some = keyParser.parseKey(newPrivateKey('x'.repeat(round % 16)));
      expect(some).not.toBeInstanceOf(Error);
    }
  });

  it('that are none are refused, and not replaced', async () => {
    const file = path.join(directory, 'key');
    fs.writeFileSync(file, 'nonsense');
    await expect(ensureKey(file, 'x')).rejects.toThrow('cannot be read as a private key');
    expect(fs.readFileSync(file, 'utf8')).toBe('nonsense');
  });
});

describe('known hosts', () => {
  const host = { id, name: 'demo', key: 'ssh-ed25519 AAAA' };

  it('are said once, by name and id', () => {
    const text = withHost('', host);
    expect(text).toBe(`demo.coppice,${id}.coppice ssh-ed25519 AAAA ${id}\n`);
    expect(withHost(text, host)).toBe(text);
  });

  it('keep the key of an id, whatever is said later, and follow its name', () => {
    const text = withHost(withHost('', host), { id, name: 'New', key: 'ssh-ed25519 BBBB' });
    expect(text).toBe(`new.coppice,${id}.coppice ssh-ed25519 AAAA ${id}\n`);
  });

  it('are forgotten with their machines', () => {
    const text = withHost(withHost('', host), { ...host, id: other });
    expect(withoutOthers(text, new Set([id]))).toBe(withHost('', host));
  });
});

describe('the line in the user’s own config', () => {
  const line = includeLine('/state/ssh/config');
  const lines = fc
    .array(
      fc.constantFrom(
        'Host *',
        '  User me',
        '# note',
        '',
        'Include other',
        'Match all',
        '\tPort 1',
      ),
    )
    .map((all) => all.join('\n'));

  it('is added once, counts for every host, and leaves all else as it is', () => {
    fc.assert(
      fc.property(lines, (text) => {
        const installed = withInclude(text, line);
        expect(includes(installed, line)).toBe(true);
        expect(withInclude(installed, line)).toBe(installed);
        expect(withoutInclude(installed, line)).toBe(text);
      }),
    );
  });

  it('is moved to where it counts', () => {
    const text = `Host x\n  User me\n${line}\n`;
    expect(includes(text, line)).toBe(false);
    expect(withInclude(text, line)).toBe(`${line}\nHost x\n  User me\n`);
  });

  it('goes into a new file that only its owner can read', async () => {
    const file = path.join(directory, '.ssh', 'config');
    expect(await editUserConfig(file, (text) => withInclude(text, line))).toBe(true);
    expect(fs.readFileSync(file, 'utf8')).toBe(`${line}\n`);
    expect(fs.statSync(file).mode & 0o777).toBe(0o600);
    expect(fs.statSync(path.dirname(file)).mode & 0o777).toBe(0o700);
    expect(await editUserConfig(file, (text) => withInclude(text, line))).toBe(false);
  });

  it('goes into what a link leads to, and its mode stays', async () => {
    const real = path.join(directory, 'dotfiles', 'ssh_config');
    fs.mkdirSync(path.dirname(real));
    fs.writeFileSync(real, 'Host x\n', { mode: 0o644 });
    const file = path.join(directory, 'config');
    fs.symlinkSync('dotfiles/ssh_config', file);
    await editUserConfig(file, (text) => withInclude(text, line));
    expect(fs.lstatSync(file).isSymbolicLink()).toBe(true);
    expect(fs.readFileSync(real, 'utf8')).toBe(`${line}\nHost x\n`);
    expect(fs.statSync(real).mode & 0o777).toBe(0o644);
    expect(fs.readdirSync(path.dirname(real))).toEqual(['ssh_config']);
  });

  it('goes where a link leads that leads nowhere yet', async () => {
    const file = path.join(directory, 'config');
    fs.symlinkSync('later', file);
    await editUserConfig(file, (text) => withInclude(text, line));
    expect(fs.readFileSync(path.join(directory, 'later'), 'utf8')).toBe(`${line}\n`);
  });
});

describe('coppice ssh-config', () => {
  it('installs for plain ssh and takes it back', async () => {
    const daemon = await startSshDaemon();
    process.env['COPPICE_HOME'] = directory;
    const cli = async (...args: string[]): Promise<{ code: number | null; stdout: Buffer }> =>
      await startCli(daemon.socketPath, 'ssh-config', ...args).done;
    const file = path.join(directory, 'user');
    const mine = 'Host mine\n  User me\n';
    fs.writeFileSync(file, mine);
    try {
      const { stdout } = await cli('--install', '--into', file);
      expect(stdout.toString()).toContain(`${file} includes it now: ssh demo.coppice`);
      expect((await runFile('ssh', ['-F', file, 'demo.coppice', 'echo works'])).stdout).toBe(
        'works\n',
      );
      const report = JSON.parse((await cli('--json', '--into', file)).stdout.toString()) as object;
      expect(report).toMatchObject({
        included: true,
        hosts: [{ name: 'demo', host: 'demo.coppice' }],
      });
      expect((await cli('--print')).stdout.toString()).toBe(
        fs.readFileSync(sshFolder().config, 'utf8'),
      );
      await cli('--remove', '--into', file);
      expect(fs.readFileSync(file, 'utf8')).toBe(mine);
      expect((await cli('--install', '--remove')).code).toBe(2);
    } finally {
      delete process.env['COPPICE_HOME'];
      await daemon.close();
    }
  });
});
