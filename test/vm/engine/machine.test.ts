import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  executableOf,
  isAlive,
  readProcessStat,
} from '../../../helper-daemon/engine/processIdentity.ts';
import { openTestBed, type TestBed } from './testMachine.ts';

const boot = (): AbortSignal => AbortSignal.timeout(60_000);

describe('a machine', () => {
  let bed: TestBed;
  beforeAll(async () => {
    bed = await openTestBed();
  });
  afterAll(() => bed.dispose());

  it('boots until its agent answers, runs a program and shuts down', async () => {
    const { machine, spec, link } = await bed.launch();
    const answer = await link.connect(boot());
    expect(answer).toMatchObject({ protocolGeneration: 1, generation: 1n });
    const { system, process } = await link.clients();
    const info = await system.getInfo({});
    expect(info.hostname).toBe('engine-test');
    expect(info.bootId).toBe(answer.bootId);
    const run = await process.exec({ spec: { argv: ['/init', '--version'] } });
    expect(run.exited?.exitCode).toBe(0);
    expect(Buffer.from(run.stdout?.head ?? []).toString()).toMatch(/\d+\.\d+/);
    await system.shutdown({ graceMs: 0 });
    expect(await machine.ended).toMatchObject({ reason: 'shutdown', stderrTail: '' });
    expect(isAlive(machine.identity)).toBe(false);
    await expect(link.clients()).rejects.toMatchObject({ code: 'guest_unreachable' });
    await bed.engine.reap(spec);
    expect(existsSync(spec.runDir)).toBe(false);
  });

  it('is recorded before anything else, with what recognises it later', async () => {
    const { machine, spec } = await bed.launch();
    const identity = bed.recorded.get(spec.runId);
    expect(identity).toEqual(machine.identity);
    expect(readProcessStat(machine.identity.pid)?.startTime).toBe(machine.identity.startTime);
    expect(executableOf(machine.identity.pid)).toBe(machine.identity.executable);
    expect(readFileSync(path.join(spec.runDir, 'qemu.pid'), 'utf8').trim()).toBe(
      String(machine.identity.pid),
    );
    await machine.powerOff();
    expect(await machine.ended).toMatchObject({ reason: 'killed', detail: 'It was powered off' });
    await machine.powerOff();
  });

  it('tells memory and CPU time', async () => {
    const { machine } = await bed.launch();
    await expect
      .poll(async () => (await machine.usage()).cpuMs, { timeout: 20_000 })
      .toBeGreaterThan(50);
    expect((await machine.usage()).rssBytes).toBeGreaterThan(20_000_000);
    await machine.powerOff();
    expect(await machine.usage()).toEqual({
      rssBytes: 0,
      privateBytes: 0,
      proportionalBytes: 0,
      cpuMs: 0,
    });
  });

  it('is reported as crashed when its process is killed from outside', async () => {
    const { machine } = await bed.launch();
    process.kill(machine.identity.pid, 'SIGKILL');
    expect(await machine.ended).toMatchObject({
      reason: 'crashed',
      detail: 'The monitor of the machine was ended by SIGKILL',
    });
  });

  it('counts as ended from the host when the host asks it to end', async () => {
    const { machine } = await bed.launch();
    process.kill(machine.identity.pid, 'SIGTERM');
    expect(await machine.ended).toMatchObject({
      reason: 'killed',
      detail: 'A signal on the host ended it',
    });
  });

  it('says what QEMU complains about when it cannot start, and leaves no process', async () => {
    const bad = bed.spec({ disk: { path: '/nonexistent/disk.qcow2', format: 'qcow2' } });
    let pid = 0;
    await expect(bed.engine.launch(bad, (identity) => (pid = identity.pid))).rejects.toMatchObject({
      code: 'boot_failed',
      message: expect.stringContaining('/nonexistent/disk.qcow2') as string,
    });
    expect(pid).toBeGreaterThan(0);
    expect(existsSync(`/proc/${String(pid)}/exe`)).toBe(false);
  });

  it('does not run when it cannot be recorded', async () => {
    const spec = bed.spec();
    let pid = 0;
    await expect(
      bed.engine.launch(spec, (identity) => {
        pid = identity.pid;
        throw new Error('database is full');
      }),
    ).rejects.toThrow(/database is full/);
    expect(existsSync(`/proc/${String(pid)}/exe`)).toBe(false);
  });

  it('that never answers is reported with its console', async () => {
    const { machine } = await bed.launch();
    const stranger = bed.link(machine, '11'.repeat(32));
    await expect(stranger.connect(AbortSignal.timeout(3_000))).rejects.toMatchObject({
      code: 'guest_unreachable',
      message: expect.stringContaining('does not answer') as string,
    });
    await machine.powerOff();
  });

  it('leaves no descriptor open in the daemon', async () => {
    const count = (): number => readdirSync('/proc/self/fd').length;
    const one = await bed.launch();
    await one.machine.powerOff();
    const before = count();
    for (let round = 0; round < 3; round += 1) {
      const { machine, link } = await bed.launch();
      await link.connect(boot());
      await machine.powerOff();
    }
    await expect.poll(count).toBeLessThanOrEqual(before);
  });
});
