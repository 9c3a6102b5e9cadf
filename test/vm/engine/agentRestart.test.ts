import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { imageOverlay, testImage } from './testImage.ts';
import { openTestBed, type TestBed } from './testMachine.ts';

describe.runIf(testImage !== undefined)('an agent that dies', () => {
  let bed: TestBed;
  beforeAll(async () => {
    bed = await openTestBed();
  });
  afterAll(() => bed.dispose());

  it('leaves the outcome of its calls unknown and is found again when it is back', async () => {
    const { machine, link } = await bed.launch({
      memoryMb: 256,
      disk: imageOverlay(bed.directory),
      kernelParameters: {
        'coppice.key': '5a'.repeat(32),
        'coppice.generation': '1',
        'coppice.root': '/dev/vda',
      },
    });
    const { bootId } = await link.connect(AbortSignal.timeout(60_000));
    const first = await link.clients();
    const before = performance.now();
    await expect(
      first.process.exec({ spec: { command: 'kill -9 $PPID; sleep 60' } }),
    ).rejects.toMatchObject({ code: 'outcome_unknown' });
    // Known by the port that closes, not by silence.
    expect(performance.now() - before).toBeLessThan(10_000);
    const answer = await link.connect(AbortSignal.timeout(60_000));
    expect(answer.bootId).toBe(bootId);
    const { process } = await link.clients();
    const run = await process.exec({ spec: { command: 'echo back' } });
    expect(Buffer.from(run.stdout?.head ?? []).toString()).toBe('back\n');
    await machine.powerOff();
  });
});
