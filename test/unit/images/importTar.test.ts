import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { importImage, type ImportOptions } from '../../../helper-daemon/images/importImage.ts';
import type { ImageResult } from '../../../helper-daemon/images/imageManifest.ts';
import { makeDisk } from '../../../helper-daemon/images/makeDisk.ts';
import { run } from '../../../helper-daemon/system/run.ts';
import { minimalRoot, sha256, tar, tempDirectory, viewDisk, type TarItem } from './fixtures.ts';

describe('importing a root file system', () => {
  let dir: Awaited<ReturnType<typeof tempDirectory>>;
  let outDir: string;
  let source: string;
  beforeEach(async () => {
    dir = await tempDirectory();
    outDir = join(dir.path, 'out');
    source = join(dir.path, 'rootfs');
  });
  afterEach(() => dir.remove());

  const importBytes = async (
    bytes: Buffer,
    options: Partial<ImportOptions> = {},
  ): Promise<ImageResult> => {
    await writeFile(source, bytes);
    return importImage(source, { name: 'test', outDir, ...options });
  };
  const importItems = async (...items: TarItem[]): Promise<ImageResult> =>
    importBytes(await tar([...minimalRoot, ...items]));

  it('keeps owners, modes and set-user-id bits whoever runs it', async () => {
    const { path } = await importItems({ name: 'su', content: 'x', mode: 0o4755, uid: 0, gid: 42 });
    const facts = await (await viewDisk(path)).stat('/su');
    expect(facts).toMatch(/Mode: +04755/);
    expect(facts).toMatch(/User: +0 +Group: +42/);
  });

  it('keeps binary extended attributes such as file capabilities', async () => {
    const { path } = await importItems({
      name: 'ping',
      content: 'x',
      pax: {
        'SCHILY.xattr.security.capability': '\x01\x02\x03',
        'SCHILY.xattr.user.note': 'hello',
      },
    });
    const facts = await (await viewDisk(path)).stat('/ping');
    expect(facts).toContain('security.capability (3) = 01 02 03');
    expect(facts).toContain('user.note (5) = "hello"');
  });

  it('keeps attributes that do not fit into the inode', async () => {
    const { path } = await importItems({
      name: 'big',
      content: 'x',
      pax: { 'SCHILY.xattr.user.big': 'v'.repeat(2000) },
    });
    expect(await (await viewDisk(path)).stat('/big')).toContain('user.big (2000)');
  });

  it('keeps long symbolic links, hard links, pipes and long names', async () => {
    const target = `/${'t'.repeat(100)}`;
    const name = `${'d'.repeat(120)}/${'n'.repeat(200)}`;
    const { path } = await importItems(
      { name: 'link', type: 'symlink', linkname: target },
      { name, content: 'deep' },
      { name: 'hard', type: 'link', linkname: name },
      { name: 'pipe', type: 'fifo' },
    );
    const disk = await viewDisk(path);
    expect(await disk.cat('/hard')).toBe('deep');
    expect(await disk.stat('/hard')).toMatch(/Links: 2/);
    expect(await disk.stat('/link')).toMatch(/Type: symlink/);
    expect(await disk.stat('/pipe')).toMatch(/Type: FIFO/);
  });

  it('holds a directory with thousands of names and files of many blocks', async () => {
    const items = Array.from({ length: 3000 }, (_, index) => ({
      name: `many/file-${String(index)}`,
    }));
    const { path } = await importItems(...items, {
      name: 'large',
      content: Buffer.alloc(300_001, 'x'),
    });
    const disk = await viewDisk(path);
    expect(await disk.names('/many')).toHaveLength(3000);
    expect(await disk.cat('/large')).toHaveLength(300_001);
  });

  it('leaves device nodes out and says so', async () => {
    const { path, manifest } = await importItems({ name: 'dev/sda', type: 'character-device' });
    expect(await (await viewDisk(path)).names('/dev')).toEqual([]);
    expect(manifest.provenance['devicesLeftOut']).toBe(1);
  });

  it('makes the mount points that the agent needs', async () => {
    const { path } = await importItems();
    expect(await (await viewDisk(path)).names('/')).toEqual([
      'bin',
      'dev',
      'proc',
      'root',
      'run',
      'sys',
      'tmp',
      'workspace',
    ]);
  });

  it('describes the file it made', async () => {
    const { path, manifest } = await importItems();
    const bytes = await readFile(path);
    expect([manifest.sha256, manifest.size]).toEqual([sha256(bytes), bytes.length]);
    expect(await readdir(outDir)).toEqual(['test.qcow2']);
  });

  it('gives equal bytes for equal input', async () => {
    const first = await importItems();
    const second = await importItems();
    expect(second.manifest.sha256).toBe(first.manifest.sha256);
  });

  it('makes a file system that can grow online', async () => {
    const { path } = await importItems();
    await viewDisk(path);
    const { stdout } = await run('dumpe2fs', ['-h', `${path}.raw`], {
      env: { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin` },
    });
    expect(stdout).toMatch(/Reserved GDT blocks: +1\d\d/);
    expect(stdout).not.toContain('sparse_super2');
  });

  it('makes the file system larger until the content fits', async () => {
    const bytes = await tar([
      ...minimalRoot,
      { name: 'large', content: Buffer.alloc(70 * 1024 ** 2, 'x') },
    ]);
    const output = join(dir.path, 'grown.qcow2');
    const { virtualSize } = await makeDisk({
      layers: [{ open: () => Readable.from([bytes]), whiteouts: false }],
      workDir: dir.path,
      output,
      seed: 'x',
      epoch: 0,
      maxBytes: 1024 ** 3,
      firstSize: 96 * 1024 ** 2,
    });
    expect(virtualSize).toBe(384 * 1024 ** 2);
    expect(await (await viewDisk(output)).stat('/large')).toMatch(/Size: 73400320/);
  });

  it.each([
    ['gzip', (bytes: Buffer) => Promise.resolve(gzipSync(bytes))],
    ['zstd', (bytes: Buffer) => Promise.resolve(zstdCompressSync(bytes))],
    ['xz', xzipped],
  ])('reads %s by its content, whatever the name', async (_, compress) => {
    const { path } = await importBytes(await compress(await tar(minimalRoot)));
    expect(await (await viewDisk(path)).cat('/bin/sh')).toBe('#!shell');
  });

  const refused = async (
    bytes: Buffer,
    code: string,
    options: Partial<ImportOptions> = {},
  ): Promise<void> => {
    await expect(importBytes(bytes, options)).rejects.toMatchObject({ code });
    expect(await readdir(outDir)).toEqual([]);
  };

  it.each([
    ['climbs out', { name: '../evil', content: 'x' }],
    ['climbs out further down', { name: 'a/../../evil', content: 'x' }],
    ['links to a file outside', { name: 'x', type: 'link', linkname: '../../etc/shadow' } as const],
    [
      'links to a file that is not in it',
      { name: 'x', type: 'link', linkname: '/etc/shadow' } as const,
    ],
    ['puts a file below a file', { name: 'bin/sh/x', content: 'x' }],
  ])('refuses an archive that %s', async (_, item) => {
    await refused(await tar([...minimalRoot, item]), 'image_invalid');
  });

  it('keeps a path that runs through a link to the outside inside the image', async () => {
    const { path } = await importItems(
      { name: 'out', type: 'symlink', linkname: '/../../../tmp' },
      { name: 'out/evil', content: 'caught' },
    );
    expect(await (await viewDisk(path)).cat('/tmp/evil')).toBe('caught');
  });

  it('refuses a loop of links instead of following it', async () => {
    const items: TarItem[] = [
      { name: 'a', type: 'symlink', linkname: 'b' },
      { name: 'b', type: 'symlink', linkname: 'a' },
      { name: 'a/x', content: 'x' },
    ];
    await refused(await tar([...minimalRoot, ...items]), 'image_invalid');
  });

  it('refuses an archive that is cut off inside a file', async () => {
    const bytes = await tar([...minimalRoot, { name: 'large', content: Buffer.alloc(50_000) }]);
    await refused(bytes.subarray(0, 30_000), 'image_corrupt');
  });

  it('refuses an archive that is cut off between two files', async () => {
    const bytes = await tar([...minimalRoot]);
    await refused(bytes.subarray(0, 1024), 'image_corrupt');
  });

  it.each([
    ['gzip', (bytes: Buffer) => Promise.resolve(gzipSync(bytes))],
    ['zstd', (bytes: Buffer) => Promise.resolve(zstdCompressSync(bytes))],
    ['xz', xzipped],
  ])('refuses a truncated %s file', async (_, compress) => {
    const noise = Buffer.from(
      Array.from({ length: 20_000 }, (__, index) => (index * index * 7919) >> 3),
    );
    const bytes = await compress(await tar([...minimalRoot, { name: 'noise', content: noise }]));
    await refused(bytes.subarray(0, bytes.length - 100), 'image_corrupt');
  });

  it('refuses a header with a wrong checksum', async () => {
    const bytes = await tar([...minimalRoot, { name: 'x', content: 'x' }]);
    bytes.write('y', 1536);
    await refused(bytes, 'image_corrupt');
  });

  it('refuses a bomb by what it declares, before it is unpacked', async () => {
    const bytes = await tar([...minimalRoot, { name: 'huge', content: Buffer.alloc(3_000_000) }]);
    await refused(gzipSync(bytes), 'limit_exceeded', { maxBytes: 2_000_000 });
  });

  it('refuses what is not an image at all', async () => {
    await refused(Buffer.from('just some text\n'.repeat(100)), 'image_invalid');
  });

  it('refuses an empty file', async () => {
    await refused(Buffer.alloc(0), 'image_invalid');
  });

  it('says that a source does not exist', async () => {
    await expect(importImage(join(dir.path, 'no'), { name: 'test', outDir })).rejects.toMatchObject(
      {
        code: 'file_not_found',
      },
    );
  });

  it('leaves nothing behind when it is cancelled', async () => {
    const stop = new AbortController();
    const bytes = await tar([...minimalRoot, { name: 'x', content: 'x' }]);
    await refused(bytes, 'cancelled', {
      signal: stop.signal,
      onProgress: ({ detail }) => {
        if (detail?.startsWith('unpacking') === true) stop.abort();
      },
    });
  });
});

async function xzipped(bytes: Buffer): Promise<Buffer> {
  const dir = await tempDirectory();
  try {
    await writeFile(join(dir.path, 'x'), bytes);
    await run('xz', [join(dir.path, 'x')]);
    return await readFile(join(dir.path, 'x.xz'));
  } finally {
    await dir.remove();
  }
}
