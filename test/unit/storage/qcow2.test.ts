import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BaseImage, StorageBackend } from '../../../helper-daemon/storage/backend.ts';
import { setBacking } from '../../../helper-daemon/storage/qcow2/header.ts';
import { qcow2Storage } from '../../../helper-daemon/storage/qcow2.ts';
import { run } from '../../../helper-daemon/system/run.ts';
import { mib, temporaryState, type TemporaryState } from './temporaryState.ts';

const diskBytes = 48 * mib;

describe('the qcow2 storage', () => {
  let home: TemporaryState;
  let storage: StorageBackend;
  let image: BaseImage;
  beforeEach(async () => {
    home = await temporaryState();
    storage = qcow2Storage({ state: home.state });
    image = await home.image();
  });
  afterEach(async () => {
    await home.remove();
  });

  const file = (locator: string): string => path.join(home.state, locator);

  async function freeze(head: string): Promise<{ layer: string; head: string }> {
    const ids = { layerId: randomUUID(), nextHeadId: randomUUID() };
    const prepared = await storage.prepareFreeze({ head, ...ids });
    await prepared.commit();
    await prepared.settle();
    return { layer: prepared.layer, head: prepared.nextHead };
  }

  const newHead = (): Promise<string> =>
    storage.createHead({ id: randomUUID(), base: image, sizeBytes: diskBytes });

  it('does not let a head lead to files that are not disks of its own', async () => {
    const secret = path.join(home.state, 'secret');
    await writeFile(secret, Buffer.alloc(diskBytes, 0x99));
    const head = await newHead();
    const foreign = { code: 'layer_corrupt' };
    for (const backing of [
      { path: secret, format: 'raw' },
      { path: path.join(home.state, 'coppice.db'), format: 'qcow2' },
      { path: path.join(home.state, 'disks', '..', 'secret'), format: 'qcow2' },
      { path: image.path, format: 'raw' },
      { path: `/elsewhere/${path.basename(image.path)}`, format: 'qcow2' },
      { path: path.basename(image.path), format: 'qcow2' },
    ] as const) {
      await setBacking(file(head), backing);
      const out = path.join(home.state, 'out.qcow2');
      await expect(storage.exportTo(head, out, undefined)).rejects.toMatchObject(foreign);
      await expect(storage.chains?.pull(head, image)).rejects.toMatchObject(foreign);
      await expect(storage.growHead(head, diskBytes * 2)).rejects.toMatchObject(foreign);
      await expect(storage.disk(head)).rejects.toMatchObject(foreign);
      expect((await storage.check(head))[0]?.problem).toContain('not ours');
      await expect(stat(out)).rejects.toThrow(/ENOENT/);
    }
  });

  it('finds a head whose header leads back to itself', async () => {
    const head = await newHead();
    await setBacking(file(head), { path: file(head), format: 'qcow2' });
    await expect(storage.disk(head)).rejects.toMatchObject({ code: 'layer_corrupt' });
  });

  it('names the missing link of a chain', async () => {
    const { layer, head } = await freeze(await newHead());
    await storage.deleteLayer(layer);
    const missing = { code: 'layer_missing', details: { locator: layer } };
    await expect(storage.disk(head)).rejects.toMatchObject(missing);
  });

  it('says that the image is gone, when it is', async () => {
    const head = await newHead();
    await rename(image.path, `${image.path}.aside`);
    await expect(storage.disk(head)).rejects.toMatchObject({ code: 'image_missing' });
    await expect(newHead()).rejects.toMatchObject({ code: 'image_missing' });
  });

  it('works where the state directory is reached through a link', async () => {
    const { layer, head } = await freeze(await newHead());
    const linked = `${home.state}-link`;
    await symlink(home.state, linked);
    const other = qcow2Storage({ state: linked });
    expect(await other.chains?.standsOn(head)).toBe(layer);
    expect(await other.chains?.standsOn(layer)).toEqual({ imageDigest: image.digest });
    await run('rm', [linked]);
  });

  describe('a head from before there were layers', () => {
    let head: string;
    beforeEach(async () => {
      const workspace = path.join('workspaces', randomUUID(), 'disks');
      await mkdir(file(workspace), { recursive: true });
      head = path.join(workspace, 'head.qcow2');
      await run('qemu-img', [
        ...['create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', image.path],
        ...['-o', 'extended_l2=on,cluster_size=128k', file(head), String(diskBytes)],
      ]);
      await run('qemu-io', ['-f', 'qcow2', '-c', 'write -P 0x44 0 64k', file(head)]);
    });

    it('can be used, grown and deleted where it is', async () => {
      expect(await storage.disk(head)).toEqual({ path: file(head), format: 'qcow2' });
      await storage.growHead(head, diskBytes * 2);
      expect(await storage.usedBytes(head)).toBeGreaterThan(0);
      expect(await storage.check(head)).toEqual([]);
      await storage.deleteHead(head);
      await expect(storage.disk(head)).rejects.toMatchObject({ code: 'layer_missing' });
    });

    it('becomes a layer that outlives its workspace directory', async () => {
      const frozen = await freeze(head);
      expect(frozen.layer).toMatch(/^disks\//);
      await run('rm', ['-r', file('workspaces')]);
      const { path: disk } = await storage.disk(frozen.head);
      const { stdout } = await run('qemu-io', ['-r', '-c', 'read -P 0x44 0 64k', disk]);
      expect(stdout).not.toContain('failed');
    });

    it('is what it was when a freeze is taken back, also after a crash in between', async () => {
      const ids = { layerId: randomUUID(), nextHeadId: randomUUID() };
      await storage.prepareFreeze({ head, ...ids });
      const again = await storage.prepareFreeze({ head, ...ids });
      await again.abort();
      expect(await storage.all()).toEqual([]);
      expect(await storage.disk(head)).toEqual({ path: file(head), format: 'qcow2' });
    });
  });

  it('a layer is seen to be altered, by its stamp and by its digest', async () => {
    const { layer } = await freeze(await newHead());
    const [stamp, digest] = [await storage.stamp(layer), await storage.digest(layer)];
    const bytes = await readFile(file(layer));
    bytes.writeUInt8(1, bytes.length - 1);
    await run('chmod', ['u+w', file(layer)]);
    await writeFile(file(layer), bytes);
    expect((await storage.stamp(layer)).stamp).not.toBe(stamp.stamp);
    expect(await storage.digest(layer)).not.toBe(digest);
  });

  it('a damaged file is found by the check', async () => {
    const head = await newHead();
    const handle = await readFile(file(head));
    // The first entry of the reference counts: cluster 0 would be free.
    handle.writeUInt16BE(0, 2 * 128 * 1024);
    await writeFile(file(head), handle);
    expect((await storage.check(head)).length).toBe(1);
  });

  it('lists temporary files that a crash left, and nothing of others', async () => {
    const head = await newHead();
    const left = `disks/${randomUUID()}.0123456789ab.part`;
    await writeFile(file(left), 'x');
    await writeFile(file('disks/notes.txt'), 'x');
    expect(new Set(await storage.all())).toEqual(new Set([head, left]));
    await storage.discard(left);
    expect(await storage.all()).toEqual([head]);
    await expect(storage.discard('disks/notes.txt')).rejects.toMatchObject({ code: 'internal' });
  });

  it('a layer can be merged, and what it stood on deleted, while a machine reads through it', async () => {
    const lower = await freeze(await newHead());
    await run('qemu-io', ['-f', 'qcow2', '-c', 'write -P 0x51 0 1M', file(lower.head)]);
    const middle = await freeze(lower.head);
    const reader = spawn('qemu-io', ['-r', file(middle.head)], { stdio: ['pipe', 'pipe', 'pipe'] });
    let said = '';
    reader.stdout.on('data', (bytes: Buffer) => (said += bytes.toString()));
    reader.stdin.write('read -P 0x51 0 64k\n');
    await expect.poll(() => said).toContain('read 65536/65536');
    const before = await stat(file(middle.layer));
    await storage.chains?.merge(middle.layer, image);
    await storage.deleteLayer(lower.layer);
    expect((await stat(file(middle.layer))).ino).not.toBe(before.ino);
    expect((await stat(file(middle.layer))).mode & 0o777).toBe(0o444);
    reader.stdin.end('read -P 0x51 64k 900k\nread -P 0 4M 64k\n');
    await once(reader, 'close');
    expect(said).toContain('read 921600/921600');
    expect(said).not.toContain('failed');
    const { stdout } = await run('qemu-io', ['-r', '-c', 'read -P 0x51 0 1M', file(middle.head)]);
    expect(stdout).not.toContain('failed');
  });
});
