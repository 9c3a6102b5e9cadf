import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { MemoryImage } from '../../../helper-daemon/engine/machine.ts';
import { hostPaths } from '../../../helper-daemon/system/paths.ts';
import {
  memories,
  memoryDirectory,
  requireCompatible,
  type Memories,
} from '../../../helper-daemon/workspaces/memories.ts';
import { memoryRow } from '../store/temporaryDatabase.ts';

const megabyte = 1024 ** 2;
let home: string;
let kept: Memories;
let loads: string[];
let released: string[];

function image(id: string): MemoryImage {
  return {
    id,
    binding: {},
    memoryMb: 256,
    residentBytes: 100 * megabyte,
    release: () => released.push(id),
    save: (file: string) => {
      writeFileSync(file, id);
      return Promise.resolve({ sha256: '00', bytes: 1 });
    },
  };
}

beforeEach(() => {
  home = mkdtempSync(path.join(os.tmpdir(), 'coppice-memories-'));
  loads = [];
  released = [];
  kept = memories({
    paths: hostPaths('user', { COPPICE_HOME: home }),
    tree: { memory: (id) => (id === 'unknown' ? undefined : memoryRow(id)) },
    engine: {
      loadMemory: (_file, { id }) => {
        loads.push(id);
        return id === 'broken' ? Promise.reject(new Error('broken')) : Promise.resolve(image(id));
      },
    },
    now: () => new Date(0),
  });
  kept.setBudget(250 * megabyte);
});
afterEach(() => {
  rmSync(home, { recursive: true, force: true });
});

const use = (id: string): Promise<string> => kept.use(id, ({ image }) => Promise.resolve(image.id));

describe('memories', () => {
  it('are read once for all who use them, and stay while there is room', async () => {
    expect(await Promise.all([use('a'), use('a')])).toEqual(['a', 'a']);
    await use('b');
    await use('a');
    expect(loads).toEqual(['a', 'b']);
    expect(kept.loadedBytes()).toBe(200 * megabyte);
  });

  it('that were used longest ago go first, never those in use', async () => {
    await kept.use('a', async () => {
      for (const id of ['b', 'c', 'd']) await use(id);
      expect(released).toEqual(['b', 'c']);
      kept.setBudget(0);
      expect(released).toEqual(['b', 'c', 'd']);
      expect(kept.isLoaded('a')).toBe(true);
    });
    expect(released).toEqual(['b', 'c', 'd', 'a']);
    expect(kept.loadedBytes()).toBe(0);
  });

  it('that cannot be read are tried again by the next', async () => {
    await expect(use('broken')).rejects.toThrow('broken');
    await expect(use('broken')).rejects.toThrow('broken');
    expect(loads).toEqual(['broken', 'broken']);
    await expect(use('unknown')).rejects.toMatchObject({ code: 'memory_missing' });
  });

  it('removed while in use are let go of by the last user, their file at once', async () => {
    const row = await kept.save({
      image: image('a'),
      channelKey: 'k',
      guest: { 'guest agent': '1' },
    });
    expect(row).toMatchObject({
      id: 'a',
      channelKey: 'k',
      bytes: 1,
      binding: { 'guest agent': '1' },
    });
    const file = path.join(memoryDirectory(hostPaths('user', { COPPICE_HOME: home })), 'a.memory');
    expect(existsSync(file)).toBe(true);
    await kept.use('a', async () => {
      await kept.remove('a');
      expect(existsSync(file)).toBe(false);
      expect(released).toEqual([]);
    });
    expect(released).toEqual(['a']);
  });

  it('of another kind of host are refused with a way out', () => {
    expect(() => requireCompatible('snap', undefined)).not.toThrow();
    const mismatch = { what: 'QEMU', was: '7.2', is: '9.0' };
    expect(() => requireCompatible('snap', mismatch)).toThrow(/QEMU was 7.2 and is 9.0 now/);
  });
});
