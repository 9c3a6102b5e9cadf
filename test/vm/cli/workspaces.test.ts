import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cliFor, type Cli } from '../support/cliRunner.ts';
import { leftovers, startTestDaemon, type TestDaemon } from '../support/testDaemon.ts';

let daemon: TestDaemon;
let cli: Cli;
beforeAll(async () => {
  daemon = await startTestDaemon();
  cli = cliFor(daemon.home);
});
afterAll(async () => {
  await daemon.dispose();
});

describe('names', () => {
  it.each([
    ['with_underscore'],
    ['with.dots.and-dashes'],
    ['UPPER.case_Mix'],
    ['n'.repeat(128)],
    ['...'],
  ])('%s gives a working machine with a valid host name', async (name) => {
    await cli.ok('create', name, '-m', '256');
    const { hostname } = await cli.json<{ hostname: string }>('info', name);
    expect(hostname).toMatch(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/);
    expect(
      await cli.ok(
        'exec',
        name,
        '--',
        // The machine learns to resolve its own name a moment after it has it.
        'uname -n; until getent hosts "$(uname -n)" >/dev/null; do sleep 0.1; done; echo known',
      ),
    ).toBe(`${hostname}\nknown\n`);
    await cli.ok('destroy', name);
    expect(leftovers(daemon.paths)).toEqual([]);
    expect(daemon.machines()).toEqual([]);
  });

  it.each([
    ['a b'],
    ['a/b'],
    ['n'.repeat(129)],
    ['01234567-89ab-4def-8123-456789abcdef'],
    ['ä'],
    [''],
  ])('%j is refused before anything is made', async (name) => {
    const { code, stderr } = await cli.run(['create', name]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error: <name> /);
  });
});

describe('a machine', () => {
  it('can be stopped and started again, and keeps its disk', async () => {
    await cli.ok('create', 'keeper', '-m', '256');
    await cli.ok('exec', 'keeper', '--', 'echo kept > /workspace/file; sync');
    expect((await cli.run(['create', 'keeper'])).stderr).toContain('already');
    expect(await cli.ok('stop', 'keeper')).toBe('keeper is stopped.\n');
    expect((await cli.run(['exec', 'keeper', 'true'])).code).toBe(125);
    expect(await cli.ok('list', '--state', 'stopped')).toContain('keeper');
    await cli.ok('start', 'keeper');
    expect(await cli.ok('read', 'keeper', '/workspace/file')).toBe('kept\n');
    expect((await cli.json<unknown[]>('list')).length).toBe(1);
    await cli.ok('rm', 'keeper');
    expect(await cli.json('ps')).toEqual([]);
  });

  it('survives a kill -9 of the daemon, which the next command starts again', async () => {
    await cli.ok('create', 'survivor', '-m', '256');
    const running = cli.start(['exec', 'survivor', '--', 'echo here; sleep 60']);
    await new Promise((resolve) => running.child.stdout.once('data', resolve));
    await daemon.kill();
    expect((await running.done).code).toBe(125);
    expect(await cli.ok('exec', 'survivor', 'echo', 'still there')).toBe('still there\n');
    await cli.ok('destroy', 'survivor');
    await cli.ok('daemon', 'stop');
    await daemon.start();
    expect(daemon.machines()).toEqual([]);
  });
});

describe('doctor and status', () => {
  it('say what is there', async () => {
    const { code, stdout } = await cli.run(['doctor']);
    expect(stdout).toContain('✓ QEMU:');
    expect(stdout).toContain('Everything machines need is there');
    expect(code).toBe(0);
    expect(await cli.ok('status')).toContain('Daemon');
  });

  it('doctor says why the daemon cannot start', async () => {
    const broken = cliFor('/dev/null/nowhere');
    const { code, stdout } = await broken.run(['doctor']);
    expect(code).toBe(1);
    expect(stdout).toContain('✗ Daemon:');
    expect(stdout).toContain('/dev/null/nowhere');
  });
});
