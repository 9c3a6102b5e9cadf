import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine, Machine, MemoryImage } from '../../../helper-daemon/engine/machine.ts';
import { createQemuEngine } from '../../../helper-daemon/engine/qemu/qemuEngine.ts';
import { bootOnImage, captureAll, cloneOf, diskOf, guestSays, overlayOn } from './family.ts';
import { testImage } from './testImage.ts';
import { openTestBed, type TestBed, type TestMachine } from './testMachine.ts';

/** More than fits below the devices: the guest uses what lies above them first. */
const memoryMb = 4096;

describe.runIf(testImage !== undefined)('a machine with 4 GiB and two CPUs', () => {
  let bed: TestBed;
  let monitor: Engine;
  let source: TestMachine;
  beforeAll(async () => {
    bed = await openTestBed();
    monitor = createQemuEngine({
      accelCache: path.join(bed.directory, 'accelerator.json'),
      accelerator: await bed.engine.accelerator(),
      captureThroughMonitor: true,
    });
    source = await bootOnImage(bed, { memoryMb, vcpus: 2 });
    await guestSays(source.link, 'head -c 8000000 /dev/urandom >/dev/shm/random');
  });
  afterAll(() => bed.dispose());

  async function adoptedBy(engine: Engine, made: TestMachine): Promise<Machine> {
    made.machine.detach();
    const run = { ...made.spec, identity: made.machine.identity, paused: true };
    const adopted = await engine.adopt(run);
    if (adopted === undefined) throw new Error('not adopted');
    return adopted;
  }

  /** The pages that an image holds, by number. */
  async function pages(image: MemoryImage | undefined): Promise<Map<number, Buffer>> {
    if (image === undefined) throw new Error('no memory was captured');
    const file = path.join(bed.directory, randomUUID());
    await image.save(file);
    image.release();
    const bytes = readFileSync(file);
    const length = bytes.readUInt32BE(8);
    const { extents, stateBytes } = JSON.parse(bytes.toString('utf8', 12, 12 + length)) as {
      extents: [number, number][];
      stateBytes: number;
    };
    const held = new Map<number, Buffer>();
    let at = 12 + length + stateBytes;
    for (const [first, count] of extents) {
      for (let page = first; page < first + count; page += 1, at += 4096) {
        // Behind the firmware, where the guest sees ROM instead of its memory.
        if (page < 0xf0 || page > 0xff) held.set(page, bytes.subarray(at, at + 4096));
      }
    }
    return held;
  }

  it('continues as a clone, which can be captured again', async () => {
    const sum = await guestSays(source.link, 'sha256sum /dev/shm/random');
    const first = await captureAll(bed, source.machine, diskOf(source));
    const clone = await cloneOf(bed, source, first.image, 2, {
      disk: overlayOn(bed, first.frozen),
    });
    first.image.release();
    expect(await guestSays(clone.link, 'sha256sum /dev/shm/random; nproc')).toBe(`${sum}\n2`);
    const second = await captureAll(bed, clone.machine, diskOf(clone));
    const grandchild = await cloneOf(bed, clone, second.image, 3, {
      disk: overlayOn(bed, second.frozen),
    });
    second.image.release();
    expect(await guestSays(grandchild.link, 'sha256sum /dev/shm/random')).toBe(sum);

    // What the two ways of reading find must be the same, above and below the gap, in a clone and without.
    for (const made of [grandchild, source]) {
      await made.machine.pause();
      const direct = await pages(
        (await made.machine.capture({ memory: { id: randomUUID() } })).memory,
      );
      const through = await adoptedBy(monitor, made);
      const read = await pages((await through.capture({ memory: { id: randomUUID() } })).memory);
      expect(Math.max(...direct.keys())).toBeGreaterThan((3 * 2 ** 30) / 4096);
      expect([...read.keys()]).toEqual([...direct.keys()]);
      const different = [...direct].filter(
        ([page, bytes]) => read.get(page)?.equals(bytes) !== true,
      );
      expect(different).toEqual([]);
      expect(readdirSync(made.spec.runDir).filter((name) => name.endsWith('.dump'))).toEqual([]);
      await through.powerOff();
    }
    await clone.machine.powerOff();
  });
});
