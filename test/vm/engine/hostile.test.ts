import { statSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildHostileGuest, type HostileGuest } from './hostileGuest.ts';
import { openTestBed, type TestBed, type TestMachine } from './testMachine.ts';

const hostile: HostileGuest | undefined = buildHostileGuest();

describe.runIf(hostile !== undefined)('a hostile guest', () => {
  let bed: TestBed;
  beforeAll(async () => {
    bed = await openTestBed();
  });
  afterAll(async () => {
    await bed.dispose();
    hostile?.dispose();
  });

  function launch(behaviour: string): Promise<TestMachine> {
    return bed.launch({
      initramfs: hostile?.initramfs ?? '',
      kernelParameters: { 'coppice.key': 'ab'.repeat(32), 'coppice.test': behaviour },
    });
  }

  it('that panics is reported with the end of its console', async () => {
    const { machine } = await launch('panic');
    const end = await machine.ended;
    expect(end.reason).toBe('panic');
    expect(end.detail).toContain('Attempted to kill init');
    expect(end.consoleTail).toContain('hostile guest up');
    expect(end.consoleTail).toContain('Call Trace');
  });

  it('that leaves by itself is reported as shut down', async () => {
    const { machine } = await launch('leave');
    expect(await machine.ended).toMatchObject({ reason: 'shutdown' });
  });

  it('cannot fill the host with console output', async () => {
    const { machine, spec } = await launch('console');
    const file = path.join(spec.runDir, 'console.log');
    await expect
      .poll(async () => (await machine.console()).length, { timeout: 30_000 })
      .toBe(65_536);
    for (let round = 0; round < 10; round += 1) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      await machine.console();
      expect(statSync(file).size).toBeLessThanOrEqual(2 * 65_536);
    }
    await machine.powerOff();
    expect((await machine.ended).consoleTail.length).toBeLessThanOrEqual(65_536);
  });

  it('that sends garbage on its channel harms nobody else', async () => {
    const good = await bed.launch();
    await good.link.connect(AbortSignal.timeout(60_000));
    const bad = await launch('garbage');
    const attempt = bad.link.connect(AbortSignal.timeout(8_000));
    const { system } = await good.link.clients();
    let slowest = 0;
    for (let round = 0; round < 100; round += 1) {
      const before = performance.now();
      await system.ping({});
      slowest = Math.max(slowest, performance.now() - before);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(slowest).toBeLessThan(2_000);
    await expect(attempt).rejects.toMatchObject({ code: 'guest_unreachable' });
    await bad.machine.powerOff();
    await good.machine.powerOff();
  });
});
