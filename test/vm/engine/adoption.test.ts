import { existsSync, rmSync } from 'node:fs';
import path from 'node:path';
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isAlive, waitUntilGone } from '../../../helper-daemon/engine/processIdentity.ts';
import { openTestBed, type TestBed, type TestMachine } from './testMachine.ts';

const boot = (): AbortSignal => AbortSignal.timeout(60_000);

describe('a machine whose daemon went away', () => {
  let bed: TestBed;
  beforeAll(async () => {
    bed = await openTestBed();
  });
  afterAll(() => bed.dispose());

  /** Boots a machine and forgets it, as a daemon does that ends. */
  async function abandoned(): Promise<TestMachine> {
    const made = await bed.launch();
    await made.link.connect(boot());
    made.link.close();
    made.machine.detach();
    return made;
  }

  it('is taken over with its agent, and its boot went on', async () => {
    const { spec, machine, key } = await abandoned();
    const adopted = await bed.engine.adopt({ ...spec, identity: machine.identity });
    if (adopted === undefined) throw new Error('not adopted');
    expect(adopted.identity).toEqual(machine.identity);
    const link = bed.link(adopted, key);
    await link.connect(boot());
    expect((await (await link.clients()).system.getInfo({})).hostname).toBe('engine-test');
    await adopted.powerOff();
    expect(await adopted.ended).toMatchObject({ reason: 'killed' });
  });

  it('is found when the daemon died before it could record the process', async () => {
    const { spec, machine } = await abandoned();
    const adopted = await bed.engine.adopt(spec);
    expect(adopted?.identity).toEqual(machine.identity);
    adopted?.detach();
    rmSync(path.join(spec.runDir, 'qemu.pid'));
    const again = await bed.engine.adopt(spec);
    expect(again?.identity).toEqual(machine.identity);
    await again?.powerOff();
  });

  it('is not confused with another process that has its pid now', async () => {
    const { spec, machine } = await abandoned();
    const identity = { ...machine.identity, startTime: '1' };
    expect(await bed.engine.adopt({ ...spec, identity })).toBeUndefined();
    await bed.engine.reap({ ...spec, identity, runDir: path.join(spec.runDir, 'none') });
    expect(isAlive(machine.identity)).toBe(true);
    await bed.engine.reap({ ...spec, identity: machine.identity });
    expect(isAlive(machine.identity)).toBe(false);
  });

  it('is not taken over by another run', async () => {
    const { spec, machine } = await abandoned();
    const identity = { ...machine.identity, runId: randomUUID() };
    await expect(bed.engine.adopt({ ...spec, runId: identity.runId, identity })).rejects.toThrow(
      /says that it is/,
    );
    expect(isAlive(machine.identity)).toBe(true);
  });

  it('that shut down meanwhile tells so, with its console', async () => {
    const { spec, machine, key, link } = await bed.launch();
    await link.connect(boot());
    const { system } = await link.clients();
    // The control connection is let go first, so that nobody sees the end.
    machine.detach();
    await system.shutdown({ graceMs: 0 });
    link.close();
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    const adopted = await bed.engine.adopt({ ...spec, identity: machine.identity });
    expect(await adopted?.ended).toMatchObject({
      reason: 'shutdown',
      consoleTail: expect.stringContaining('Restarting system') as string,
    });
    expect(isAlive(machine.identity)).toBe(false);
    expect(key).toHaveLength(64);
  });

  it('that is gone is not taken over, and nothing of it is left after reaping', async () => {
    const { spec, machine } = await abandoned();
    process.kill(machine.identity.pid, 'SIGKILL');
    await waitUntilGone(machine.identity, 10_000);
    const run = { ...spec, identity: machine.identity };
    expect(await bed.engine.adopt(run)).toBeUndefined();
    await bed.engine.reap(run);
    expect(existsSync(spec.runDir)).toBe(false);
  });

  it('can be reaped by what is known of it', async () => {
    const { spec, machine } = await abandoned();
    await bed.engine.reap({ runId: spec.runId, runDir: spec.runDir });
    expect(isAlive(machine.identity)).toBe(false);
    expect(existsSync(spec.runDir)).toBe(false);
  });
});
