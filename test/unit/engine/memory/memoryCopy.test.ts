import { closeSync, fstatSync, readSync } from 'node:fs';
import koffi from 'koffi';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { GuestMemory } from '../../../../helper-daemon/engine/memory/guestMemory.ts';
import { MemoryCopy, requireMemory } from '../../../../helper-daemon/engine/memory/memoryCopy.ts';
import { pageBytes } from '../../../../helper-daemon/engine/memory/pageSet.ts';

const bytes = 4 * 2 ** 20;

/** Memory of this very process stands for that of a guest. */
describe('a copy of memory', () => {
  let memory: Buffer;
  let guest: GuestMemory;
  let copy: MemoryCopy;

  beforeEach(() => {
    const room = Buffer.allocUnsafeSlow(bytes + pageBytes);
    const address = Number(koffi.address(room));
    const skip = (pageBytes - (address % pageBytes)) % pageBytes;
    memory = room.subarray(skip, skip + bytes);
    memory.fill(0);
    guest = {
      pid: process.pid,
      address: address + skip,
      bytes,
      baseFd: undefined,
      close: () => undefined,
    };
    copy = new MemoryCopy(guest, undefined);
  });
  let finished: number | undefined;
  afterEach(() => {
    if (finished === undefined) copy.abort();
    else closeSync(finished);
    finished = undefined;
  });

  const fill = (page: number, value: number): Buffer =>
    memory.fill(value, page * pageBytes, (page + 1) * pageBytes);

  async function result(): Promise<Buffer> {
    finished = await copy.finish();
    const content = Buffer.alloc(bytes);
    readSync(finished, content, 0, bytes, 0);
    return content;
  }

  it('holds what is there when the second pass is made', async () => {
    for (let page = 0; page < 600; page += 1) fill(page, (page % 255) + 1);
    await copy.copyAhead();
    fill(3, 0xaa);
    fill(900, 0xbb);
    fill(5, 0);
    await copy.copyRest();
    expect((await result()).equals(memory)).toBe(true);
  });

  it('takes everything in the second pass when there was no first', async () => {
    fill(7, 1);
    expect(await copy.copyRest()).toBeGreaterThan(0);
    expect((await result()).equals(memory)).toBe(true);
  });

  it('takes no host memory for pages of zeros', async () => {
    fill(10, 1);
    fill(20, 1);
    await copy.copyAhead();
    fill(20, 0);
    await copy.copyRest();
    expect((await result()).equals(memory)).toBe(true);
    expect(fstatSync(finished ?? -1).blocks * 512).toBe(pageBytes);
  });

  it('leaves nothing open when it is given up', () => {
    const other = new MemoryCopy(guest, undefined);
    other.abort();
    expect(other.memoryMb).toBe(4);
  });

  it('is not begun when the host has too little memory', async () => {
    await requireMemory(1);
    await expect(requireMemory(2 ** 50)).rejects.toMatchObject({ code: 'no_memory' });
  });
});
