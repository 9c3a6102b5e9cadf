import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { cliFor, type Cli } from '../support/cliRunner.ts';
import { leftovers, startTestDaemon, type TestDaemon } from '../support/testDaemon.ts';

let daemon: TestDaemon;
let cli: Cli;
let directory = '';
beforeAll(async () => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'cop-run-'));
  daemon = await startTestDaemon();
  cli = cliFor(daemon.home);
});
afterAll(async () => {
  fs.rmSync(directory, { recursive: true, force: true });
  await daemon.dispose();
});

/** Nothing of any run is left: no machine, no process, no file. */
async function expectNoTrace(): Promise<void> {
  await expect.poll(async () => await cli.json<unknown[]>('list'), { timeout: 30_000 }).toEqual([]);
  await expect.poll(() => daemon.machines(), { timeout: 10_000 }).toEqual([]);
  expect(leftovers(daemon.paths)).toEqual([]);
}
afterEach(expectNoTrace);

describe('coppice run', () => {
  it('copies files in, runs the command, copies artefacts out and returns its exit code', async () => {
    const source = path.join(directory, 'src');
    fs.mkdirSync(source);
    fs.writeFileSync(path.join(source, 'number'), '21');
    const out = path.join(directory, 'made', 'here');
    const { code, stdout } = await cli.run([
      'run',
      '-m',
      '256',
      '--in',
      source,
      '--out',
      out,
      '-e',
      'TIMES=2',
      '--',
      'ls; mkdir out; echo $(( $(cat number) * TIMES )) > out/answer; exit 3',
    ]);
    expect([code, stdout]).toEqual([3, 'number\n']);
    expect(fs.readFileSync(path.join(out, 'answer'), 'utf8')).toBe('42\n');
  });

  it('takes other places in the machine', async () => {
    const source = path.join(directory, 'other');
    fs.mkdirSync(source);
    fs.writeFileSync(path.join(source, 'a'), 'content');
    const out = path.join(directory, 'etc');
    const result = await cli.run([
      'run',
      '-m',
      '256',
      '--in',
      `${source}:/opt/x`,
      '--out',
      `/opt/x:${out}`,
      '--json',
      '--',
      'cat /opt/x/a',
    ]);
    expect(JSON.parse(result.stdout)).toMatchObject({
      exit_code: 0,
      stdout: 'content',
      copied_out: [{ from: '/opt/x', to: out, files: 1 }],
    });
    expect(fs.readFileSync(path.join(out, 'a'), 'utf8')).toBe('content');
  });

  it('leaves no trace when the command is interrupted', async () => {
    const { child, done } = cli.start(['run', '-m', '256', '--', 'echo here; sleep 100']);
    await new Promise((resolve) => child.stdout.once('data', resolve));
    child.kill('SIGINT');
    expect((await done).code).toBe(130);
  });

  it('leaves no trace when it is interrupted while the machine boots', async () => {
    const { child, done } = cli.start(['run', '-m', '256', '--', 'true']);
    await expect.poll(() => daemon.machines().length, { interval: 5, timeout: 20_000 }).toBe(1);
    child.kill('SIGINT');
    expect((await done).code).toBe(130);
  });

  it('leaves no trace when the client is killed -9', async () => {
    const child = spawn(
      process.execPath,
      [
        '--no-warnings',
        path.resolve(import.meta.dirname, '../../../dist/coppice.mjs'),
        'run',
        '-m',
        '256',
        '--',
        'echo here; sleep 100',
      ],
      { env: cli.env },
    );
    await new Promise((resolve) => child.stdout.once('data', resolve));
    child.kill('SIGKILL');
    await expectNoTrace();
  });

  it('fails before anything is made when its input cannot be read', async () => {
    const { code, stderr } = await cli.run(['run', '--in', '/no/such/dir', '--', 'true']);
    expect([code, stderr]).toEqual([
      125,
      'error: The directory /no/such/dir (--in) does not exist.\n',
    ]);
  });

  it('says which image is missing', async () => {
    const { code, stderr } = await cli.run(['run', '--image', 'nothing', '--', 'true']);
    expect(code).toBe(125);
    expect(stderr).toContain('There is no image named nothing');
  });
});
