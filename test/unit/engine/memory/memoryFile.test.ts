import { execFileSync } from 'node:child_process';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import {
  existsSync,
  ftruncateSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { memfdCreate } from '../../../../helper-daemon/engine/memory/libc.ts';
import { loadMemory, SealedMemory } from '../../../../helper-daemon/engine/memory/memoryImage.ts';

const page = 4096;
const memoryMb = 8;
const parts = { id: randomUUID(), binding: { QEMU: '7.2', vcpus: '1' }, memoryMb };
const state = Buffer.from('what the devices said');
const first = randomBytes(3 * page);
const second = randomBytes(2 * 2 ** 20 + page);
const secondAt = 4 * 2 ** 20;

function makeImage(): SealedMemory {
  const ram = memfdCreate('coppice-test');
  ftruncateSync(ram, memoryMb * 2 ** 20);
  writeSync(ram, first, 0, first.length, page);
  writeSync(ram, second, 0, second.length, secondAt);
  return new SealedMemory(parts, ram, state);
}

function contentOf(image: SealedMemory): { readonly ram: Buffer; readonly state: Buffer } {
  const files = image.open();
  const ram = Buffer.alloc(memoryMb * 2 ** 20);
  readSync(files.ram, ram, 0, ram.length, 0);
  const devices = readFileSync(files.state);
  files.close();
  return { ram, state: devices };
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

describe('a memory image in a file', () => {
  let directory: string;
  let file: string;
  let image: SealedMemory;
  beforeEach(() => {
    directory = mkdtempSync(path.join(os.tmpdir(), 'coppice-memory-'));
    file = path.join(directory, 'memory');
    image = makeImage();
  });
  afterEach(() => {
    image.release();
    rmSync(directory, { recursive: true, force: true });
  });

  it('comes back as it was, holes included', async () => {
    const saved = await image.save(file);
    const bytes = readFileSync(file);
    expect(saved).toEqual({ sha256: sha256(bytes), bytes: bytes.length });
    expect(bytes.length).toBeLessThan(first.length + second.length + 1024);
    const loaded = await loadMemory(file, { id: parts.id, sha256: saved.sha256 });
    expect(loaded).toMatchObject(parts);
    expect(contentOf(loaded)).toEqual(contentOf(image));
    expect(contentOf(loaded).ram.subarray(page, 4 * page)).toEqual(first);
    expect(contentOf(loaded).state).toEqual(state);
    expect(loaded.residentBytes).toBe(image.residentBytes);
    expect(readdirSync(directory)).toEqual(['memory']);
    loaded.release();
  });

  it('is refused when a byte of it has changed, wherever', async () => {
    const { sha256: digest } = await image.save(file);
    const sound = readFileSync(file);
    for (const at of [0, 9, 40, 400, sound.length - second.length, sound.length - 1]) {
      const damaged = Buffer.from(sound);
      damaged.writeUInt8(damaged.readUInt8(at) ^ 0x10, at);
      writeFileSync(file, damaged);
      await expect(loadMemory(file, { id: parts.id, sha256: digest })).rejects.toMatchObject({
        code: 'memory_corrupt',
      });
    }
  });

  it('is refused when it is too short or too long', async () => {
    const { sha256: digest } = await image.save(file);
    const sound = readFileSync(file);
    const pieces = [0, 5, 12, 100, sound.length - 1].map((length) => sound.subarray(0, length));
    for (const bytes of [...pieces, Buffer.concat([sound, Buffer.alloc(1)])]) {
      writeFileSync(file, bytes);
      await expect(loadMemory(file, { id: parts.id, sha256: digest })).rejects.toMatchObject({
        code: 'memory_corrupt',
      });
    }
  });

  it('is refused with another id or digest than expected', async () => {
    const { sha256: digest } = await image.save(file);
    await expect(loadMemory(file, { id: randomUUID(), sha256: digest })).rejects.toMatchObject({
      code: 'memory_corrupt',
      message: expect.stringContaining(parts.id) as string,
    });
    const other = sha256(Buffer.from('other'));
    await expect(loadMemory(file, { id: parts.id, sha256: other })).rejects.toMatchObject({
      code: 'memory_corrupt',
      message: expect.stringContaining('digest') as string,
    });
  });

  it('is refused when its extents lie outside of memory or overlap, although the digest is right', async () => {
    await image.save(file);
    const sound = readFileSync(file);
    const length = sound.readUInt32BE(8);
    const header = JSON.parse(sound.toString('utf8', 12, 12 + length)) as { extents: number[][] };
    const [one = [], two = []] = header.extents;
    for (const extents of [
      [two, one],
      [one, [memoryMb * 256 - 1, two[1]]],
      [one, [2, two[1]]],
    ]) {
      const text = Buffer.from(JSON.stringify({ ...header, extents }));
      const size = Buffer.alloc(4);
      size.writeUInt32BE(text.length);
      const bytes = Buffer.concat([sound.subarray(0, 8), size, text, sound.subarray(12 + length)]);
      writeFileSync(file, bytes);
      await expect(loadMemory(file, { id: parts.id, sha256: sha256(bytes) })).rejects.toMatchObject(
        {
          code: 'memory_corrupt',
          message: expect.stringContaining('extents') as string,
        },
      );
    }
  });

  it('that is not there is missing, not damaged', async () => {
    await expect(loadMemory(file, { id: parts.id, sha256: '' })).rejects.toMatchObject({
      code: 'memory_missing',
    });
  });

  it.runIf(process.getuid?.() === 0)(
    'leaves nothing on a disk that is too small for it',
    async () => {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'coppice-test', directory]);
      try {
        await expect(image.save(file)).rejects.toMatchObject({ code: 'no_space' });
        expect(readdirSync(directory)).toEqual([]);
        expect(existsSync(file)).toBe(false);
      } finally {
        execFileSync('umount', [directory]);
      }
    },
  );

  it('is no longer there for anybody once it was released', async () => {
    image.release();
    expect(() => image.open()).toThrow(/released/);
    await expect(image.save(file)).rejects.toMatchObject({ code: 'memory_missing' });
    expect(image.residentBytes).toBe(0);
  });
});
