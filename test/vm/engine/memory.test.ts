import { createHash, randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { MemoryImage } from '../../../helper-daemon/engine/machine.ts';
import { isAlive } from '../../../helper-daemon/engine/processIdentity.ts';
import {
  bootOnImage,
  captureAll,
  cloneOf,
  diskOf,
  guestSays,
  inheritable,
  introduceTo,
  overlayOn,
  startInGuest,
} from './family.ts';
import { testImage } from './testImage.ts';
import { openTestBed, type TestBed, type TestMachine } from './testMachine.ts';

/** A value that exists in a process of the guest alone, shown through a file in memory. */
const counting =
  'i=0; while :; do i=$((i+1)); echo $i >/dev/shm/new; mv /dev/shm/new /dev/shm/count; sleep 0.02; done';
const count = async (made: TestMachine): Promise<number> =>
  Number(await guestSays(made.link, 'cat /dev/shm/count'));

describe.runIf(testImage !== undefined)('a memory image', () => {
  let bed: TestBed;
  let source: TestMachine;
  let image: MemoryImage;
  let frozen: string;
  let countAtCapture: number;

  beforeAll(async () => {
    bed = await openTestBed();
    source = await bootOnImage(bed);
    await startInGuest(source.link, counting);
    await guestSays(source.link, 'until test -s /dev/shm/count; do sleep 0.1; done');
    countAtCapture = await count(source);
    ({ image, frozen } = await captureAll(bed, source.machine, diskOf(source)));
  });
  afterAll(async () => {
    image.release();
    await bed.dispose();
  });

  const clone = (generation: number, changes = {}): Promise<TestMachine> =>
    cloneOf(bed, source, image, generation, { disk: overlayOn(bed, frozen), ...changes });

  it('is taken of a machine that runs on as if nothing had happened', async () => {
    const before = await count(source);
    await expect.poll(() => count(source), { timeout: 30_000 }).toBeGreaterThan(before);
    expect(await guestSays(source.link, 'dmesg | grep -ci "ext4-fs error" || true')).toBe('0');
  });

  it('lets clones continue, each on its own', async () => {
    const [one, other] = [await clone(2), await clone(3)];
    const start = await count(one);
    expect(start).toBeGreaterThanOrEqual(countAtCapture);
    await expect.poll(() => count(one), { timeout: 30_000 }).toBeGreaterThan(start);
    await guestSays(one.link, 'echo one >/dev/shm/who; echo one >/srv/who; sync');
    await guestSays(other.link, 'echo other >/dev/shm/who; echo other >/srv/who; sync');
    expect(await guestSays(one.link, 'cat /dev/shm/who /srv/who; hostname')).toBe(
      'one\none\ngeneration-2',
    );
    expect(await guestSays(other.link, 'cat /dev/shm/who /srv/who; hostname')).toBe(
      'other\nother\ngeneration-3',
    );
    expect(await guestSays(source.link, 'ls /dev/shm/who /srv/who 2>&1 | grep -c such')).toBe('2');
    const usage = await one.machine.usage();
    expect(usage.privateBytes).toBeLessThan((await source.machine.usage()).privateBytes);
    expect(usage.proportionalBytes).toBeGreaterThan(usage.privateBytes);
    await one.machine.powerOff();
    await other.machine.powerOff();
  });

  it('can be taken of a clone, also by a later daemon', async () => {
    const parent = await clone(4);
    await guestSays(parent.link, 'echo second >/dev/shm/mark; echo second >/srv/mark; sync');
    parent.link.close();
    parent.machine.detach();
    const adopted = await bed.engine.adopt({ ...parent.spec, identity: parent.machine.identity });
    if (adopted === undefined) throw new Error('not adopted');
    const second = await captureAll(bed, adopted, diskOf(parent));
    expect(await adopted.diskPath()).toBe(second.next);
    await adopted.powerOff();
    const child = await cloneOf(bed, parent, second.image, 5, {
      disk: overlayOn(bed, second.frozen),
    });
    second.image.release();
    expect(await guestSays(child.link, 'cat /dev/shm/mark /srv/mark')).toBe('second\nsecond');
    const start = await count(child);
    await expect.poll(() => count(child), { timeout: 30_000 }).toBeGreaterThan(start);
    const third = await captureAll(bed, child.machine, diskOf(child));
    expect(third.image.residentBytes).toBeGreaterThan(second.image.residentBytes / 2);
    third.image.release();
    await child.machine.powerOff();
  });

  it('can be loaded without letting the machine run, and a later daemon leaves it so', async () => {
    const made = await clone(6, { paused: true });
    await expect(made.link.connect(AbortSignal.timeout(1_500))).rejects.toThrow();
    made.link.close();
    made.machine.detach();
    const run = { ...made.spec, identity: made.machine.identity, paused: true };
    const adopted = await bed.engine.adopt(run);
    if (adopted === undefined) throw new Error('not adopted');
    const link = bed.link(adopted, source.key, 6);
    await expect(link.connect(AbortSignal.timeout(1_500))).rejects.toThrow();
    await adopted.resume();
    await introduceTo(link, 6);
    expect(await guestSays(link, 'hostname')).toBe('generation-6');
    const before = Number(await guestSays(link, 'cat /dev/shm/count'));
    await adopted.pause();
    await adopted.pause();
    const captured = await adopted.capture({ memory: { id: randomUUID() } });
    expect(captured.memory?.memoryMb).toBe(256);
    captured.memory?.release();
    const during = AbortSignal.timeout(500);
    await expect(
      link.clients().then(({ system }) => system.ping({}, { signal: during })),
    ).rejects.toThrow();
    await adopted.resume();
    await expect
      .poll(() => guestSays(link, 'cat /dev/shm/count').then(Number), { timeout: 30_000 })
      .toBeGreaterThan(before);
    await adopted.powerOff();
  });

  it('comes back from a file as the same machine', async () => {
    const file = path.join(bed.directory, 'memory');
    const { sha256 } = await image.save(file);
    const loaded = await bed.engine.loadMemory(file, { id: image.id, sha256 });
    expect(loaded).toMatchObject({ id: image.id, memoryMb: 256, binding: image.binding });
    const made = await cloneOf(bed, source, loaded, 7, { disk: overlayOn(bed, frozen) });
    loaded.release();
    expect(await count(made)).toBeGreaterThanOrEqual(countAtCapture);
    await made.machine.powerOff();
  });

  it('is not changed by clones that write and free a lot of memory', async () => {
    const before = await image.save(path.join(bed.directory, 'before'));
    const made = await clone(8);
    await guestSays(
      made.link,
      'dd if=/dev/urandom of=/dev/shm/fill bs=1M count=48; rm /dev/shm/fill; echo 3 >/proc/sys/vm/drop_caches; echo 1 >/proc/sys/vm/compact_memory',
    );
    await made.machine.powerOff();
    expect(await image.save(path.join(bed.directory, 'after'))).toEqual(before);
  });

  it('is refused where something differs, by name', async () => {
    const wanted = { disk: overlayOn(bed, frozen), vcpus: 2 };
    await expect(cloneOf(bed, source, image, 9, wanted)).rejects.toMatchObject({
      code: 'snapshot_incompatible',
      details: { what: 'vcpus', was: '1', is: '2' },
    });
    const card = { mac: '52:54:00:00:00:01', backend: { kind: 'socket' } } as const;
    await expect(clone(9, { network: card })).rejects.toMatchObject({
      details: { what: 'network card', was: 'none', is: 'stream' },
    });
    const { vcpus, memoryMb, accelerator, transport } = source.spec;
    const planned = await bed.engine.binding({ vcpus, memoryMb, accelerator, transport });
    expect(image.binding).toEqual(planned);
  });

  it('is refused once it was released', async () => {
    const { memory } = await source.machine.capture({ memory: { id: randomUUID() } });
    if (memory === undefined) throw new Error('no memory');
    memory.release();
    memory.release();
    await expect(
      cloneOf(bed, source, memory, 10, { disk: overlayOn(bed, frozen) }),
    ).rejects.toMatchObject({ code: 'memory_missing' });
  });

  it('that cannot be loaded fails the start and leaves no process', async () => {
    // Not caught by the binding when that is forged: the monitor itself refuses.
    const file = path.join(bed.directory, 'forged');
    await image.save(file);
    const bytes = readFileSync(file);
    const devices = bytes.indexOf(image.binding['devices'] ?? '', 0, 'latin1');
    bytes.write(await devicesWithoutDisk(), devices, 'latin1');
    writeFileSync(file, bytes);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const forged = await bed.engine.loadMemory(file, { id: image.id, sha256 });
    const { disk: given, ...diskless } = inheritable(source.spec);
    expect(given).toBeDefined();
    const runId = randomUUID();
    await expect(bed.launch({ ...diskless, runId, resumeFrom: forged })).rejects.toMatchObject({
      code: 'boot_failed',
      message: expect.stringContaining('virtio') as string,
    });
    forged.release();
    const identity = bed.recorded.get(runId);
    expect(identity !== undefined && !isAlive(identity)).toBe(true);
  });

  async function devicesWithoutDisk(): Promise<string> {
    const diskless = await bed.launch({ memoryMb: 256 });
    const { memory } = await diskless.machine.capture({ memory: { id: randomUUID() } });
    memory?.release();
    await diskless.machine.powerOff();
    return memory?.binding['devices'] ?? '';
  }

  it('is taken by one capture at a time', async () => {
    const first = source.machine.capture({ memory: { id: randomUUID() } });
    await expect(source.machine.capture({})).rejects.toMatchObject({ code: 'busy' });
    (await first).memory?.release();
  });
});
