import { execFileSync } from 'node:child_process';
import { createHash, randomFillSync } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cliFor, type Cli } from '../support/cliRunner.ts';
import { startTestDaemon, type TestDaemon } from '../support/testDaemon.ts';

let daemon: TestDaemon;
let cli: Cli;
let directory = '';
beforeAll(async () => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'cop-cp-'));
  daemon = await startTestDaemon();
  cli = cliFor(daemon.home);
  await cli.ok('create', 'demo');
});
afterAll(async () => {
  fs.rmSync(directory, { recursive: true, force: true });
  await daemon.dispose();
});

const here = (name: string): string => path.join(directory, name);
const digest = (file: string): string =>
  createHash('sha256').update(fs.readFileSync(file)).digest('hex');

describe('coppice cp', () => {
  it('carries 200 MB both ways unchanged', async () => {
    fs.writeFileSync(here('big'), randomFillSync(Buffer.alloc(200_000_000)), { mode: 0o640 });
    await cli.ok('cp', here('big'), 'demo:/workspace/');
    expect(
      await cli.ok(
        'exec',
        'demo',
        '--',
        'sha256sum /workspace/big | cut -c1-64; stat -c %a /workspace/big',
      ),
    ).toBe(`${digest(here('big'))}\n640\n`);
    await cli.ok('cp', 'demo:/workspace/big', here('back'));
    expect(digest(here('back'))).toBe(digest(here('big')));
    expect(fs.statSync(here('back')).mode & 0o777).toBe(0o640);
    await cli.ok('delete', 'demo', '/workspace/big');
  });

  it('carries a directory both ways with links, modes, times and odd names', async () => {
    const tree = here('tree');
    fs.mkdirSync(path.join(tree, 'sub', 'empty'), { recursive: true });
    fs.writeFileSync(path.join(tree, 'run.sh'), '#!/bin/sh\n', { mode: 0o755 });
    fs.utimesSync(path.join(tree, 'run.sh'), 1_000_000_000, 1_000_000_000);
    fs.writeFileSync(
      Buffer.concat([Buffer.from(`${tree}/sub/`), Buffer.from([0xff, 0x41])]),
      'odd',
    );
    fs.writeFileSync(path.join(tree, 'sub', 'x'.repeat(200)), 'long');
    fs.symlinkSync('sub', path.join(tree, 'link'));
    expect((await cli.run(['cp', tree, 'demo:/workspace'])).code).toBe(2);
    await cli.ok('cp', '-r', tree, 'demo:/workspace');
    await cli.ok('cp', '-r', tree, 'demo:/workspace/renamed');
    await cli.ok('cp', '-r', `${tree}/.`, 'demo:/workspace/content');
    expect(
      await cli.ok(
        'exec',
        'demo',
        '--',
        'cd /workspace && diff -r --no-dereference tree renamed && diff -r --no-dereference tree content && stat -c "%a %Y" tree/run.sh',
      ),
    ).toBe('755 1000000000\n');
    await cli.ok('cp', '-r', 'demo:/workspace/tree', here('came-back'));
    expect(
      execFileSync('diff', ['-r', '--no-dereference', tree, here('came-back')]).toString(),
    ).toBe('');
    expect(fs.statSync(here('came-back/run.sh')).mtimeMs).toBe(1_000_000_000_000);
    // Into a directory that exists: under its own name.
    await cli.ok('cp', '-r', 'demo:/workspace/tree', here('came-back'));
    expect(fs.existsSync(here('came-back/tree/run.sh'))).toBe(true);
  });

  it('takes several sources into a directory', async () => {
    fs.writeFileSync(here('one'), '1');
    fs.writeFileSync(here('two'), '2');
    await cli.ok('cp', here('one'), here('two'), 'demo:/tmp');
    expect(await cli.ok('exec', 'demo', '--', 'cat /tmp/one /tmp/two')).toBe('12');
    expect((await cli.run(['cp', here('one'), here('two'), 'demo:/tmp/none'])).code).toBe(2);
  });

  it('leaves out links that lead to this host’s files, and says so', async () => {
    await cli.ok(
      'exec',
      'demo',
      '--',
      'mkdir /workspace/evil && ln -s /etc/passwd /workspace/evil/p && ln -s ../../.. /workspace/evil/up && mkfifo /workspace/evil/fifo && echo x > /workspace/evil/x',
    );
    const { code, stderr } = await cli.run(['cp', '-r', 'demo:/workspace/evil', here('evil')]);
    expect(code).toBe(0);
    expect(stderr).toContain('2 symlinks out of the copied directory left out');
    expect(fs.readdirSync(here('evil'))).toEqual(['x']);
  });

  it('leaves nothing behind when it is stopped in the middle', async () => {
    await cli.ok(
      'exec',
      'demo',
      '--',
      'mkdir /workspace/slow && for i in 1 2 3 4; do truncate -s 150M /workspace/slow/$i; done',
    );
    fs.mkdirSync(here('target'));
    for (const [source, target] of [
      ['demo:/workspace/slow/1', here('target/file')],
      ['demo:/workspace/slow', here('target/dir')],
    ] as const) {
      const { child, done } = cli.start(['cp', '-r', source, target]);
      await expect
        .poll(() => fs.readdirSync(here('target')).length, { interval: 5, timeout: 20_000 })
        .toBe(1);
      child.kill('SIGINT');
      expect((await done).code).toBe(130);
      expect(fs.readdirSync(here('target'))).toEqual([]);
    }
    const upload = cli.start(['cp', here('big'), 'demo:/workspace/partial']);
    await new Promise((resolve) => setTimeout(resolve, 600));
    upload.child.kill('SIGINT');
    await upload.done;
    await expect
      .poll(
        async () =>
          (await cli.json<{ name: string }[]>('ls', 'demo', '/workspace'))
            .map(({ name }) => name)
            .filter((name) => name.includes('partial')),
        { timeout: 20_000 },
      )
      .toEqual([]);
  });

  it.each([
    [
      'a missing source here',
      ['cp', '/no/such/file', 'demo:/tmp'],
      125,
      'does not exist on this host',
    ],
    ['a missing source there', ['cp', 'demo:/no/such', '/tmp'], 125, 'No such file'],
    [
      'a missing directory here',
      ['cp', 'demo:/etc/hostname', '/no/such/dir/x'],
      125,
      'There is no directory /no/such/dir',
    ],
    ['a relative path there', ['cp', 'demo:etc/hostname', '/tmp'], 2, 'start with "/"'],
    ['a ~ there', ['cp', 'demo:~/x', '/tmp'], 2, '"~" is not expanded'],
    ['two host paths', ['cp', 'a', 'b'], 2, 'None of these paths is in a machine'],
    ['an unknown machine', ['cp', 'nobody:/etc/hostname', '/tmp'], 125, 'nobody'],
  ])('says what is wrong: %s', async (_, args, code, why) => {
    const result = await cli.run(args);
    expect(result.code).toBe(code);
    expect(result.stderr).toContain(why);
  });
});

describe('read and write', () => {
  it('stream files of any size, whole or in part', async () => {
    const input = randomFillSync(Buffer.alloc(10_000_000));
    const written = await cli.run(['write', 'demo', '/workspace/deep/er/file', '--mode', '600'], {
      input,
    });
    expect(written.code).toBe(0);
    expect((await cli.run(['read', 'demo', '/workspace/deep/er/file'])).bytes.equals(input)).toBe(
      true,
    );
    const part = await cli.run([
      'read',
      'demo',
      '/workspace/deep/er/file',
      '--offset',
      '1000',
      '--limit',
      '500',
    ]);
    expect(part.bytes.equals(input.subarray(1000, 1500))).toBe(true);
    await cli.run(['write', 'demo', '/workspace/deep/er/file', '--append'], { input: 'tail' });
    expect(
      await cli.ok(
        'exec',
        'demo',
        '--',
        'tail -c 4 /workspace/deep/er/file; stat -c %s%a /workspace/deep/er/file',
      ),
    ).toBe('tail10000004600\n');
    expect(
      (await cli.run(['write', 'demo', '/workspace/deep/er/file', '--exclusive'], { input: 'x' }))
        .code,
    ).toBe(125);
  });

  it.each([['relative/path'], ['~/x'], ['']])('refuse the path %j', async (name) => {
    for (const command of ['read', 'write', 'ls', 'stat', 'mkdir', 'delete']) {
      expect((await cli.run([command, 'demo', name])).code, command).toBe(2);
    }
  });
});
