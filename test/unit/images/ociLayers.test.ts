import { createHash } from 'node:crypto';
import { mkdir, readdir, symlink, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { importImage } from '../../../helper-daemon/images/importImage.ts';
import {
  minimalRoot,
  ociLayout,
  sha256,
  tar,
  tempDirectory,
  viewDisk,
  type DiskView,
} from './fixtures.ts';

describe('importing a container image', () => {
  let dir: Awaited<ReturnType<typeof tempDirectory>>;
  let layout: string;
  let outDir: string;
  beforeEach(async () => {
    dir = await tempDirectory();
    layout = join(dir.path, 'layout');
    outDir = join(dir.path, 'out');
  });
  afterEach(() => dir.remove());

  const importLayers = async (...layers: Buffer[]): Promise<DiskView> => {
    await ociLayout(layout, layers);
    return viewDisk((await importImage(layout, { name: 'test', outDir })).path);
  };

  it('lets later layers replace files of earlier ones', async () => {
    const disk = await importLayers(
      await tar([...minimalRoot, { name: 'etc/name', content: 'old' }]),
      await tar([{ name: 'etc/name', content: 'new' }]),
    );
    expect(await disk.cat('/etc/name')).toBe('new');
  });

  it('removes what a whiteout names, directories with all they hold', async () => {
    const disk = await importLayers(
      await tar([
        ...minimalRoot,
        { name: 'a/b/c', content: '1' },
        { name: 'a/keep', content: '2' },
      ]),
      await tar([{ name: 'a/.wh.b' }]),
    );
    expect(await disk.names('/a')).toEqual(['keep']);
  });

  it('empties a directory that a layer marks as opaque, and keeps what that layer adds', async () => {
    const disk = await importLayers(
      await tar([
        ...minimalRoot,
        { name: 'data/old', content: '1' },
        { name: 'data/sub/old', content: '1' },
      ]),
      await tar([
        { name: 'data/sub/new', content: '2' },
        { name: 'data/.wh..wh..opq' },
        { name: 'data/new', content: '2' },
      ]),
    );
    expect([await disk.names('/data'), await disk.names('/data/sub')]).toEqual([
      ['new', 'sub'],
      ['new'],
    ]);
  });

  it('does not let a whiteout hide what its own layer wrote', async () => {
    const disk = await importLayers(
      await tar([...minimalRoot, { name: 'etc/name', content: 'old' }]),
      await tar([{ name: 'etc/name', content: 'new' }, { name: 'etc/.wh.name' }]),
    );
    expect(await disk.cat('/etc/name')).toBe('new');
  });

  it('keeps a hard link to a file that a later layer replaces', async () => {
    const disk = await importLayers(
      await tar([
        ...minimalRoot,
        { name: 'one', content: 'shared' },
        { name: 'two', type: 'link', linkname: 'one' },
      ]),
      await tar([{ name: 'one', content: 'changed' }]),
    );
    expect([await disk.cat('/one'), await disk.cat('/two')]).toEqual(['changed', 'shared']);
  });

  it('replaces a symbolic link by a directory of a later layer instead of following it', async () => {
    const disk = await importLayers(
      await tar([
        ...minimalRoot,
        { name: 'real/file', content: '1' },
        { name: 'link', type: 'symlink', linkname: 'real' },
      ]),
      await tar([
        { name: 'link/', type: 'directory' },
        { name: 'link/other', content: '2' },
      ]),
    );
    expect([await disk.names('/real'), await disk.names('/link')]).toEqual([['file'], ['other']]);
  });

  it('follows a link inside the image for a path that runs through it', async () => {
    const disk = await importLayers(
      await tar([
        { name: 'usr/bin/sh', content: '#!' },
        { name: 'bin', type: 'symlink', linkname: 'usr/bin' },
      ]),
      await tar([{ name: 'bin/tool', content: 'x' }]),
    );
    expect(await disk.names('/usr/bin')).toEqual(['sh', 'tool']);
  });

  it('writes the environment for the agent and keeps the rest of the configuration', async () => {
    await ociLayout(layout, [await tar(minimalRoot)], {
      config: {
        Env: ['PATH=/bin', 'A=b c', 'BAD=x\ny'],
        WorkingDir: '/srv',
        User: '1000',
        Cmd: ['sh'],
      },
    });
    const { path, manifest } = await importImage(layout, { name: 'test', outDir });
    expect(await (await viewDisk(path)).cat('/etc/coppice/image.env')).toBe('PATH=/bin\nA=b c');
    expect(manifest.provenance).toMatchObject({ workingDir: '/srv', user: '1000', cmd: ['sh'] });
  });

  it('reads compressed layers', async () => {
    const disk = await importLayers(gzipSync(await tar(minimalRoot)));
    expect(await disk.cat('/bin/sh')).toBe('#!shell');
  });

  it('reads the layout from an archive', async () => {
    const layer = await tar(minimalRoot);
    await ociLayout(layout, [layer]);
    const archive = join(dir.path, 'image.tar');
    const { readFile } = await import('node:fs/promises');
    const blobs = await readdir(join(layout, 'blobs/sha256'));
    const items = [];
    for (const name of [
      'oci-layout',
      'index.json',
      ...blobs.map((blob) => `blobs/sha256/${blob}`),
    ]) {
      items.push({ name, content: await readFile(join(layout, name)) });
    }
    await writeFile(archive, await tar(items));
    const { path } = await importImage(archive, { name: 'test', outDir });
    expect(await (await viewDisk(path)).cat('/bin/sh')).toBe('#!shell');
  });

  it('reads a docker save archive, compressed as a whole, with linked layers', async () => {
    const layer = await tar(minimalRoot);
    const diffId = createHash('sha256').update(layer).digest('hex');
    const config = JSON.stringify({
      os: 'linux',
      architecture: 'amd64',
      rootfs: { diff_ids: [`sha256:${diffId}`] },
    });
    const archive = join(dir.path, 'saved.tar.gz');
    const id = 'a'.repeat(64);
    const other = 'b'.repeat(64);
    const saved = await tar([
      { name: `${id}/layer.tar`, content: layer },
      { name: `${other}/layer.tar`, type: 'symlink', linkname: `../${id}/layer.tar` },
      { name: `${sha256(config)}.json`, content: config },
      {
        name: 'manifest.json',
        content: JSON.stringify([
          { Config: `${sha256(config)}.json`, Layers: [`${other}/layer.tar`] },
        ]),
      },
    ]);
    await writeFile(archive, gzipSync(saved));
    const { path } = await importImage(archive, { name: 'test', outDir });
    expect(await (await viewDisk(path)).cat('/bin/sh')).toBe('#!shell');
  });

  it('refuses a layer that does not match its digest', async () => {
    await ociLayout(layout, [await tar(minimalRoot)], {
      tamper: (blob) => Buffer.from(blob).fill(0x41, 512, 513),
    });
    await expect(importImage(layout, { name: 'test', outDir })).rejects.toMatchObject({
      code: 'image_corrupt',
    });
    expect(await readdir(outDir)).toEqual([]);
  });

  it('refuses an image for another architecture and says what it has', async () => {
    await ociLayout(layout, [await tar(minimalRoot)], { architecture: 'arm64' });
    await expect(importImage(layout, { name: 'test', outDir })).rejects.toMatchObject({
      code: 'image_invalid',
      message: expect.stringContaining('linux/arm64') as string,
    });
  });

  it('refuses a layout whose blob is a link out of it', async () => {
    const layer = await tar(minimalRoot);
    await ociLayout(layout, [layer]);
    const blob = join(layout, 'blobs/sha256', sha256(layer));
    await unlink(blob);
    await writeFile(join(dir.path, 'secret'), layer);
    await symlink(join(dir.path, 'secret'), blob);
    await expect(importImage(layout, { name: 'test', outDir })).rejects.toMatchObject({
      code: 'image_invalid',
    });
  });

  it('refuses an image without a shell', async () => {
    await ociLayout(layout, [await tar([{ name: 'app', content: 'x', mode: 0o755 }])]);
    await expect(importImage(layout, { name: 'test', outDir })).rejects.toMatchObject({
      code: 'image_invalid',
    });
  });

  it('refuses a directory that is no layout and says how to pack it', async () => {
    await mkdir(layout, { recursive: true });
    await expect(importImage(layout, { name: 'test', outDir })).rejects.toMatchObject({
      code: 'image_invalid',
      next: expect.stringContaining('tar') as string,
    });
  });
});
