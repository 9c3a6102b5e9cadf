import { open, readFile, readdir, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { importImage } from '../../../helper-daemon/images/importImage.ts';
import { checkQcow2Header } from '../../../helper-daemon/images/qcow2Header.ts';
import { run } from '../../../helper-daemon/system/run.ts';
import { extDisk, tempDirectory, viewDisk } from './fixtures.ts';

describe('importing a disk', () => {
  let dir: Awaited<ReturnType<typeof tempDirectory>>;
  let outDir: string;
  let raw: string;
  let qcow2: string;
  beforeEach(async () => {
    dir = await tempDirectory();
    outDir = join(dir.path, 'out');
    raw = join(dir.path, 'disk.raw');
    qcow2 = join(dir.path, 'disk.qcow2');
    await extDisk(raw, dir.path);
  });
  afterEach(() => dir.remove());

  const convert = (...options: string[]): Promise<unknown> =>
    run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', ...options, raw, qcow2]);
  const contentOf = async (source: string): Promise<string | undefined> => {
    const { path } = await importImage(source, { name: 'test', outDir });
    return (await viewDisk(path)).cat('/hello');
  };
  const refused = async (source: string, code: string): Promise<void> => {
    await expect(importImage(source, { name: 'test', outDir })).rejects.toMatchObject({ code });
    expect(await readdir(outDir)).toEqual([]);
  };
  /** Puts the file system into a partition that begins at 1 MiB. */
  const partitioned = async (): Promise<string> => {
    const disk = join(dir.path, 'whole.raw');
    const content = await readFile(raw);
    const file = await open(disk, 'w');
    const table = Buffer.alloc(512);
    table[446 + 4] = 0x83;
    table.writeUInt32LE(2048, 446 + 8);
    table.writeUInt32LE(content.length / 512, 446 + 12);
    table.writeUInt16LE(0xaa55, 510);
    await file.write(table, 0, 512, 0);
    await file.write(content, 0, content.length, 1024 * 1024);
    await file.close();
    return disk;
  };

  it('takes a raw disk with a bare ext4 file system', async () => {
    expect(await contentOf(raw)).toBe('from the disk');
  });

  it('takes a qcow2 disk', async () => {
    await convert();
    expect(await contentOf(qcow2)).toBe('from the disk');
  });

  it('takes a compressed qcow2 disk', async () => {
    await convert('-c');
    expect(await contentOf(qcow2)).toBe('from the disk');
  });

  it('extracts the root from a partition', async () => {
    const { path, manifest } = await importImage(await partitioned(), { name: 'test', outDir });
    expect(await (await viewDisk(path)).cat('/hello')).toBe('from the disk');
    expect(manifest.provenance['partitionOffset']).toBe(1024 * 1024);
  });

  it('refuses a qcow2 disk with a backing file, unopened', async () => {
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', raw, '-F', 'raw', qcow2]);
    await refused(qcow2, 'image_invalid');
  });

  it('refuses a qcow2 disk whose backing file is one of the host', async () => {
    await run('qemu-img', [
      'create',
      '-q',
      '-u',
      '-f',
      'qcow2',
      '-b',
      '/etc/passwd',
      '-F',
      'raw',
      qcow2,
      '1M',
    ]);
    await refused(qcow2, 'image_invalid');
  });

  it('refuses a qcow2 disk with an external data file', async () => {
    await run('qemu-img', [
      'create',
      '-q',
      '-f',
      'qcow2',
      '-o',
      `data_file=${join(dir.path, 'data')}`,
      qcow2,
      '1M',
    ]);
    await refused(qcow2, 'image_invalid');
  });

  it('refuses a truncated qcow2 disk', async () => {
    await convert();
    await truncate(qcow2, Math.floor((await stat(qcow2)).size / 2));
    await refused(qcow2, 'image_corrupt');
  });

  it('refuses a qcow2 disk that ends in its header', async () => {
    await writeFile(qcow2, Buffer.from('QFI\xfb\0\0\0\x03', 'latin1'));
    await refused(qcow2, 'image_corrupt');
  });

  it('refuses a truncated raw disk', async () => {
    await truncate(raw, 8 * 1024 * 1024);
    await refused(raw, 'image_corrupt');
  });

  it('refuses a disk larger than allowed', async () => {
    await expect(
      importImage(raw, { name: 'test', outDir, maxBytes: 1024 * 1024 }),
    ).rejects.toMatchObject({
      code: 'limit_exceeded',
    });
  });

  it('refuses a disk without a Linux system', async () => {
    await run('debugfs', ['-w', '-R', 'rm /bin/sh', raw], {
      env: { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin` },
    });
    await refused(raw, 'image_invalid');
  });

  it('refuses other file systems by name', async () => {
    const bytes = Buffer.alloc(1024 * 1024);
    bytes.write('hsqs');
    await writeFile(raw, bytes);
    await expect(importImage(raw, { name: 'test', outDir })).rejects.toMatchObject({
      code: 'image_invalid',
      message: expect.stringContaining('squashfs') as string,
    });
  });

  it('refuses foreign disk formats with the command that converts them', async () => {
    await writeFile(raw, Buffer.concat([Buffer.from('KDMV'), Buffer.alloc(4096)]));
    await expect(importImage(raw, { name: 'test', outDir })).rejects.toMatchObject({
      next: expect.stringContaining('qemu-img convert') as string,
    });
  });

  it('refuses a header with a data file extension even without the feature bit', () => {
    const head = Buffer.alloc(512);
    head.write('QFI\xfb', 'latin1');
    head.writeUInt32BE(3, 4);
    head.writeUInt32BE(104, 100);
    head.writeUInt32BE(0x44415441, 104);
    expect(() => checkQcow2Header(head)).toThrow(/another file/);
  });
});
