/** A machine is hostile: what it sends as a directory must not reach anything outside the target. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { linkStaysInside, safeComponents } from '../../../helper-daemon/cli/transfer/entryName.ts';
import { freeSpaceAt } from '../../../helper-daemon/cli/transfer/freeSpace.ts';
import { encodeHeader, type TarHeader } from '../../../helper-daemon/system/tar/tarFormat.ts';
import {
  unpackTree,
  type UnpackCounts,
  type UnpackOptions,
} from '../../../helper-daemon/cli/transfer/unpackTree.ts';

let base = '';
let root = '';
let secret = '';
beforeEach(() => {
  base = fs.mkdtempSync(path.join(os.tmpdir(), 'unpack-'));
  root = path.join(base, 'root');
  secret = path.join(base, 'secret');
  fs.mkdirSync(root);
  fs.writeFileSync(secret, 'untouched', { mode: 0o600 });
});
afterEach(() => {
  fs.rmSync(base, { recursive: true, force: true });
});

interface Entry extends Partial<TarHeader> {
  readonly name: string;
  readonly content?: string;
}

async function unpack(entries: readonly Entry[], options?: UnpackOptions): Promise<UnpackCounts> {
  async function* archive(): AsyncGenerator<Uint8Array> {
    for (const { content = '', ...header } of entries) {
      const size = Buffer.byteLength(content);
      yield encodeHeader({
        kind: 'file',
        size,
        mode: 0o644,
        modified: 1_000_000_000_000,
        link: '',
        ...header,
      });
      if (size > 0) {
        yield Buffer.concat([Buffer.from(content), Buffer.alloc((512 - (size % 512)) % 512)]);
      }
    }
    yield Buffer.alloc(1024);
  }
  return await unpackTree(root, archive(), options);
}

const read = (name: string): string => fs.readFileSync(path.join(root, name), 'utf8');
const modeOf = (name: string): number => fs.lstatSync(path.join(root, name)).mode & 0o7777;

describe('a well-behaved archive', () => {
  it('arrives with content, permissions, times and links', async () => {
    const counts = await unpack([
      { name: './', kind: 'directory', mode: 0o755 },
      { name: './sub/', kind: 'directory', mode: 0o500 },
      { name: './sub/file', content: 'hello', mode: 0o640 },
      { name: './sub/link', kind: 'symlink', link: 'file' },
      { name: './hard', kind: 'link', link: './sub/file' },
    ]);
    expect(read('sub/file')).toBe('hello');
    expect(read('hard')).toBe('hello');
    expect(fs.readlinkSync(path.join(root, 'sub/link'))).toBe('file');
    expect(modeOf('sub/file')).toBe(0o640);
    expect(modeOf('sub')).toBe(0o500);
    expect(fs.statSync(path.join(root, 'sub/file')).mtimeMs).toBe(1_000_000_000_000);
    expect(fs.statSync(path.join(root, 'sub')).mtimeMs).toBe(1_000_000_000_000);
    expect(counts).toMatchObject({ files: 2, directories: 2, symlinks: 1, bytes: 5, special: 0 });
    fs.chmodSync(path.join(root, 'sub'), 0o700);
  });

  it('makes parents that no entry describes, usable ones', async () => {
    await unpack([{ name: 'a/b/c', content: 'x' }]);
    expect(modeOf('a/b')).toBe(0o755);
  });

  it('replaces files that are there, but leaves directories their permissions', async () => {
    fs.mkdirSync(path.join(root, 'sub'), { mode: 0o711 });
    fs.writeFileSync(path.join(root, 'sub/file'), 'old');
    await unpack([
      { name: 'sub/', kind: 'directory', mode: 0o755 },
      { name: 'sub/file', content: 'new' },
    ]);
    expect(read('sub/file')).toBe('new');
    expect(modeOf('sub')).toBe(0o711);
    expect(fs.readdirSync(path.join(root, 'sub'))).toEqual(['file']);
  });

  it('keeps names that are no UTF-8', async () => {
    await unpack([{ name: '\xff\xfename', content: 'x' }]);
    expect(fs.readdirSync(root, { encoding: 'buffer' })[0]?.toString('latin1')).toBe(
      '\xff\xfename',
    );
  });
});

describe('a hostile archive', () => {
  it.each([
    ['..', '../secret'],
    ['.. further in', 'a/../../secret'],
    ['.. at the end', 'a/..'],
    ['an absolute path', '/tmp/x'],
    ['an absolute path with slashes', '//etc/x'],
  ])('cannot leave the target through %s', async (_, name) => {
    await expect(unpack([{ name, content: 'evil' }])).rejects.toMatchObject({ code: 'file_error' });
    expect(fs.readFileSync(secret, 'utf8')).toBe('untouched');
  });

  it('cannot write through a symlink of its own', async () => {
    await expect(
      unpack(
        [
          { name: 'door', kind: 'symlink', link: base },
          { name: 'door/secret', content: 'evil' },
        ],
        { unsafeLinks: true },
      ),
    ).rejects.toMatchObject({ code: 'file_exists' });
    expect(fs.readFileSync(secret, 'utf8')).toBe('untouched');
  });

  it('cannot write through a symlink that was there before', async () => {
    fs.symlinkSync(base, path.join(root, 'door'));
    await expect(unpack([{ name: 'door/secret', content: 'evil' }])).rejects.toMatchObject({
      code: 'file_exists',
    });
    expect(fs.readFileSync(secret, 'utf8')).toBe('untouched');
  });

  it('replaces a symlink that is in the place of a file, and not what it leads to', async () => {
    fs.symlinkSync(secret, path.join(root, 'file'));
    await unpack([{ name: 'file', content: 'new' }]);
    expect(fs.readFileSync(secret, 'utf8')).toBe('untouched');
    expect(read('file')).toBe('new');
    expect(fs.lstatSync(path.join(root, 'file')).isFile()).toBe(true);
  });

  it('cannot change permissions or times of what a symlink leads to', async () => {
    await unpack(
      [
        { name: 'link', kind: 'symlink', link: '../secret', mode: 0o777 },
        { name: 'dir', kind: 'symlink', link: base },
        { name: 'dir/', kind: 'directory', mode: 0o777 },
      ],
      { unsafeLinks: true },
    ).catch(() => undefined);
    expect(fs.statSync(secret).mode & 0o777).toBe(0o600);
    expect(fs.statSync(base).mode & 0o777).toBe(0o700);
  });

  it('may link only to files of its own', async () => {
    for (const link of ['../secret', secret, 'missing']) {
      await expect(unpack([{ name: 'hard', kind: 'link', link }])).rejects.toMatchObject({
        code: 'file_error',
      });
    }
    fs.writeFileSync(path.join(root, 'mine'), 'mine');
    await expect(unpack([{ name: 'hard', kind: 'link', link: 'mine' }])).rejects.toMatchObject({
      code: 'file_error',
    });
    expect(fs.readdirSync(root)).toEqual(['mine']);
  });

  it('makes no symlinks that lead out, unless they are wanted', async () => {
    const entries: Entry[] = [
      { name: 'abs', kind: 'symlink', link: '/etc/passwd' },
      { name: 'up', kind: 'symlink', link: '../secret' },
      { name: 'fine', kind: 'symlink', link: 'abs' },
    ];
    expect(await unpack(entries)).toMatchObject({
      symlinks: 1,
      outsideLinks: 2,
      outsideExamples: ['abs -> /etc/passwd', 'up -> ../secret'],
    });
    expect(fs.readdirSync(root)).toEqual(['fine']);
    expect(await unpack(entries, { unsafeLinks: true })).toMatchObject({
      symlinks: 3,
      outsideLinks: 0,
    });
    expect(fs.readlinkSync(path.join(root, 'abs'))).toBe('/etc/passwd');
  });

  it('gives no special permissions and makes no devices', async () => {
    const counts = await unpack([
      { name: 'tool', content: 'x', mode: 0o6755 },
      { name: 'sticky/', kind: 'directory', mode: 0o3777 },
    ]);
    expect(modeOf('tool')).toBe(0o755);
    expect(modeOf('sticky')).toBe(0o777);
    expect(counts.special).toBe(0);
  });

  it('cannot put a file where a directory is, or the other way round', async () => {
    await expect(
      unpack([
        { name: 'a/', kind: 'directory' },
        { name: 'a', content: 'x' },
      ]),
    ).rejects.toMatchObject({ code: 'file_exists' });
    await expect(
      unpack([
        { name: 'b', content: 'x' },
        { name: 'b/c', content: 'x' },
      ]),
    ).rejects.toMatchObject({ code: 'file_exists' });
    await expect(unpack([{ name: '.', content: 'x' }])).rejects.toMatchObject({
      code: 'file_error',
    });
  });

  it('leaves no half file when it ends early', async () => {
    async function* cut(): AsyncGenerator<Uint8Array> {
      yield encodeHeader({
        name: 'f',
        kind: 'file',
        size: 1000,
        mode: 0o644,
        modified: 0,
        link: '',
      });
      yield Buffer.alloc(100);
    }
    fs.writeFileSync(path.join(root, 'f'), 'old');
    await expect(unpackTree(root, cut())).rejects.toThrow('ends in the middle');
    expect(read('f')).toBe('old');
    expect(fs.readdirSync(root)).toEqual(['f']);
  });

  it('cannot announce more than the disk holds', async () => {
    async function* bomb(): AsyncGenerator<Uint8Array> {
      yield encodeHeader({
        name: 'bomb',
        kind: 'file',
        size: 2 ** 50,
        mode: 0o644,
        modified: 0,
        link: '',
      });
      yield Buffer.alloc(512);
    }
    await expect(unpackTree(root, bomb())).rejects.toMatchObject({ code: 'no_space' });
    expect(fs.readdirSync(root)).toEqual([]);
  });
});

describe('names', () => {
  it('lose what means nothing', () => {
    expect(safeComponents('./a//b/./c/')).toEqual(['a', 'b', 'c']);
    expect(safeComponents('./')).toEqual([]);
  });

  it.each([
    [[], 'file', true],
    [['a', 'b'], '../../x', true],
    [['a'], '../../x', false],
    [[], '..', false],
    [['a'], 'x/../y', false],
    [[], '/etc', false],
    [[], '', false],
    [['a', 'b', 'c'], '../../../x/x/x/../../..', false],
  ])('a link in %j to %s stays inside: %s', (parents, target, inside) => {
    expect(linkStaysInside(parents, target)).toBe(inside);
  });
});

describe('free space', () => {
  const mib = 1024 * 1024;
  it('is looked at again as it is used', () => {
    let free = 500;
    const looks: number[] = [];
    const space = freeSpaceAt('/x', () => {
      looks.push(free);
      return { bavail: free, bsize: mib, ffree: 1e6, files: 2e6 };
    });
    expect(() => {
      for (;;) {
        space.admit(10 * mib);
        free -= 10;
      }
    }).toThrow('would fill the host');
    expect(free).toBeGreaterThanOrEqual(50);
    expect(free).toBeLessThan(90);
    expect(looks.length).toBeGreaterThan(3);
  });

  it('counts inodes too, where the file system has a number of them', () => {
    const few = freeSpaceAt('/x', () => ({ bavail: 1e6, bsize: mib, ffree: 1010, files: 1e6 }));
    for (let file = 0; file < 10; file += 1) few.admit(0);
    expect(() => few.admit(0)).toThrow('would fill');
    const endless = freeSpaceAt('/x', () => ({ bavail: 1e6, bsize: mib, ffree: 0, files: 0 }));
    expect(() => endless.admit(0)).not.toThrow();
  });
});
