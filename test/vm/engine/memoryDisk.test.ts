import { execFileSync } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bootOnImage, captureAll, cloneOf, guestSays, overlayOn, startInGuest } from './family.ts';
import { testImage } from './testImage.ts';
import { openTestBed, type TestBed, type TestMachine } from './testMachine.ts';

const digest = (file: string): string =>
  createHash('sha256').update(readFileSync(file)).digest('hex');
/** Every number that the guest's memory counts is on its disk before the next one is. */
const journalling =
  'i=0; while :; do i=$((i+1)); echo $i >>/srv/numbers; sync -d /srv/numbers 2>/dev/null || sync; echo $i >/dev/shm/done; done';
/** Fails unless the file counts up without a gap, and holds all that memory says it holds. */
const checkNumbers =
  'awk \'$1 != NR { exit 1 } END { print NR }\' /srv/numbers && test "$(cat /dev/shm/done)" -le "$(wc -l </srv/numbers)"';

describe.runIf(testImage !== undefined)('the disk of a captured machine', () => {
  let bed: TestBed;
  let source: TestMachine;
  beforeAll(async () => {
    bed = await openTestBed();
    source = await bootOnImage(bed);
  });
  afterAll(() => bed.dispose());

  async function current(): Promise<string> {
    return (await source.machine.diskPath()) ?? '';
  }

  it('is replaced in the pause: nothing written later is in the old file', async () => {
    const old = await current();
    const next = overlayOn(bed, old);
    let whilePaused = '';
    const { memory } = await source.machine.capture({
      switchTo: next,
      whilePaused: () => {
        whilePaused = digest(old);
        return Promise.resolve();
      },
    });
    expect(memory).toBeUndefined();
    expect(await current()).toBe(next.path);
    await guestSays(source.link, 'echo later >/srv/later; sync');
    expect(digest(old)).toBe(whilePaused);
    const after = digest(next.path);
    await guestSays(source.link, 'echo later >>/srv/later; sync');
    expect(digest(next.path)).not.toBe(after);
  });

  it('stays when the caller fails in the pause, and the next capture succeeds', async () => {
    const old = await current();
    const next = overlayOn(bed, old);
    await expect(
      source.machine.capture({
        memory: { id: randomUUID() },
        switchTo: next,
        whilePaused: () => Promise.reject(new Error('no room for the record')),
      }),
    ).rejects.toThrow('no room for the record');
    expect(await current()).toBe(old);
    expect(await guestSays(source.link, 'echo on >/srv/on; sync; cat /srv/on')).toBe('on');
    const { memory } = await source.machine.capture({
      memory: { id: randomUUID() },
      switchTo: next,
    });
    expect(memory?.residentBytes).toBeGreaterThan(1_000_000);
    memory?.release();
    expect(await current()).toBe(next.path);
  });

  it('stays when the next one cannot be opened', async () => {
    const old = await current();
    const missing = { path: path.join(bed.directory, 'missing.qcow2'), format: 'qcow2' as const };
    await expect(source.machine.capture({ switchTo: missing })).rejects.toMatchObject({
      code: 'command_failed',
    });
    expect(await current()).toBe(old);
    expect(await guestSays(source.link, 'sync; echo alive')).toBe('alive');
  });

  it('fits the memory of every clone although the guest never stopped writing', async () => {
    await startInGuest(source.link, journalling);
    await guestSays(source.link, 'until test -s /dev/shm/done; do sleep 0.1; done');
    for (let generation = 2; generation < 5; generation += 1) {
      const captured = await captureAll(bed, source.machine, await current());
      const clones = await Promise.all([
        cloneOf(bed, source, captured.image, generation, {
          disk: overlayOn(bed, captured.frozen),
        }),
        cloneOf(bed, source, captured.image, generation, {
          disk: overlayOn(bed, captured.frozen),
        }),
      ]);
      captured.image.release();
      for (const clone of clones) {
        const numbers = Number(await guestSays(clone.link, checkNumbers));
        expect(numbers).toBeGreaterThan(0);
        await expect
          .poll(() => guestSays(clone.link, 'wc -l </srv/numbers').then(Number), {
            timeout: 60_000,
          })
          .toBeGreaterThan(numbers);
        expect(await guestSays(clone.link, 'dmesg | grep -ci "ext4-fs error" || true')).toBe('0');
        await clone.machine.powerOff();
      }
      expectSoundFileSystem(captured.frozen);
    }
    expect(Number(await guestSays(source.link, checkNumbers))).toBeGreaterThan(0);
  });

  /** What a crash at that moment would have left: the journal is replayed, then nothing is wrong. */
  function expectSoundFileSystem(frozen: string): void {
    const raw = path.join(bed.directory, `${randomUUID()}.raw`);
    execFileSync('qemu-img', ['convert', '-U', '-O', 'raw', frozen, raw]);
    execFileSync('e2fsck', ['-E', 'journal_only', '-y', raw], { stdio: 'ignore' });
    execFileSync('e2fsck', ['-f', '-n', raw], { stdio: 'pipe' });
  }

  it('that grew is larger for the guest at once', async () => {
    const size = async (): Promise<number> =>
      Number(await guestSays(source.link, 'cat /sys/block/vda/size')) * 512;
    const wanted = (await size()) + 64 * 2 ** 20;
    await source.machine.growDisk(wanted);
    expect(await size()).toBe(wanted);
  });
});
