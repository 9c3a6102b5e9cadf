import {
  chownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { asCoppiceError } from '../../../protocol/errors.ts';
import { transferDirectory } from '../../../helper-daemon/server/handlers/transferDirectory.ts';
import { hostPaths, type DaemonMode } from '../../../helper-daemon/system/paths.ts';

const person = { uid: process.getuid?.() ?? 0, agent: null };
let home: string;

beforeEach(() => {
  home = mkdtempSync(path.join(os.tmpdir(), 'transfer-'));
});
afterEach(() => {
  rmSync(home, { recursive: true, force: true });
});

function open(mode: DaemonMode = 'user', configured: string | null = null) {
  const paths = hostPaths(mode, { COPPICE_HOME: home });
  mkdirSync(paths.state, { recursive: true });
  return {
    directory: transferDirectory(paths, configured),
    root: configured ?? path.join(paths.state, 'transfers'),
  };
}

const code = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'no error',
    (error: unknown) => asCoppiceError(error).code,
  );

describe('a transfer directory', () => {
  it('holds a new file back until it is kept, then replaces what has its name', async () => {
    const { directory, root } = open();
    mkdirSync(path.join(root, 'sub'), { recursive: true });
    writeFileSync(path.join(root, 'victim'), 'safe');
    symlinkSync(path.join(root, 'victim'), path.join(root, 'sub/out'));
    const arriving = await directory.arriving(person, 'sub/out');
    await arriving.handle.appendFile('new');
    expect(readFileSync(path.join(root, 'sub/out'), 'utf8')).toBe('safe');
    await arriving.keep(0o777);
    await arriving.dispose();
    expect(readFileSync(path.join(root, 'sub/out'), 'utf8')).toBe('new');
    expect(statSync(path.join(root, 'sub/out')).mode & 0o7777).toBe(0o755);
    expect(readFileSync(path.join(root, 'victim'), 'utf8')).toBe('safe');
  });

  it('keeps nothing of what is given up, or was left by a daemon that was killed', async () => {
    const first = open();
    const given = await first.directory.arriving(person, 'up');
    await given.dispose();
    const lost = await first.directory.arriving(person, 'lost');
    await lost.handle.appendFile('half');
    const partial = readdirSync(first.root).filter((name) => name.startsWith('.coppice-partial'));
    const left = () => partial.flatMap((name) => readdirSync(path.join(first.root, name)));
    expect(left()).toHaveLength(1);
    const next = await open().directory.arriving(person, 'other');
    expect(left()).toHaveLength(1);
    await next.dispose();
    expect(left()).toEqual([]);
    await lost.handle.close();
  });

  it('is not left by dots, absolute paths or links on any place of the way', async () => {
    const { directory, root } = open();
    mkdirSync(path.join(root, 'a'), { recursive: true });
    writeFileSync(path.join(home, 'secret'), 'secret');
    symlinkSync(home, path.join(root, 'a/up'));
    symlinkSync(path.join(home, 'secret'), path.join(root, 'a/file'));
    for (const [host, expected] of [
      ['../../secret', 'permission_denied'],
      ['a/../../../secret', 'permission_denied'],
      [path.join(home, 'secret'), 'permission_denied'],
      [root, 'permission_denied'],
      [`${root}x/secret`, 'permission_denied'],
      ['a/up/secret', 'file_error'],
      ['a/file', 'file_error'],
      ['a', 'file_error'],
      ['absent/x', 'file_not_found'],
      ['a/x', 'file_not_found'],
    ] as const) {
      expect(await code(directory.source(person, host)), host).toBe(expected);
    }
    expect(await code(directory.arriving(person, 'a/up/new'))).toBe('file_error');
    expect(await code(directory.arriving(person, '../new'))).toBe('permission_denied');
  });

  it('may be another one, reached through a link of whoever configured it', async () => {
    mkdirSync(path.join(home, 'real'));
    symlinkSync(path.join(home, 'real'), path.join(home, 'link'));
    const { directory, root } = open('user', path.join(home, 'link'));
    writeFileSync(path.join(home, 'real/file'), 'here');
    const source = await directory.source(person, path.join(root, 'file'));
    expect([source.size, await source.handle.readFile('utf8')]).toEqual([4, 'here']);
    await source.handle.close();
  });

  it.skipIf(person.uid !== 0)('has a part for each user of a system daemon', async () => {
    const { directory, root } = open('system');
    const user = { uid: 65_534, agent: 'bot' };
    expect(await code(directory.source(user, 'x'))).toBe('file_not_found');
    const own = path.join(root, '65534');
    expect([statSync(own).uid, statSync(own).mode & 0o777]).toEqual([65_534, 0o700]);
    // Another user's file, and the links that lead to it.
    writeFileSync(path.join(root, 'foreign'), 'secret');
    linkSync(path.join(root, 'foreign'), path.join(own, 'hard'));
    expect(await code(directory.source(user, path.join(root, 'foreign')))).toBe(
      'permission_denied',
    );
    expect(await code(directory.source(user, 'hard'))).toBe('permission_denied');
    writeFileSync(path.join(own, 'mine'), 'mine');
    chownSync(path.join(own, 'mine'), 65_534, 65_534);
    await (await directory.source(user, 'mine')).handle.close();
    const arriving = await directory.arriving(user, 'got');
    await arriving.keep(0o600);
    await arriving.dispose();
    expect(statSync(path.join(own, 'got')).uid).toBe(65_534);
  });
});
