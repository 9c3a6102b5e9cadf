/** Files in datasets, on a real pool. Volumes need a kernel module: test/unit/storage/zvol.test.ts. */
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { initZfs, readZfsPlace } from '../../../helper-daemon/storage/zfs/initZfs.ts';
import { openStorages } from '../../../helper-daemon/storage/select.ts';
import { zfsStorage } from '../../../helper-daemon/storage/zfs.ts';
import { conformance } from './conformance.ts';
import {
  codeOf,
  diskBytes,
  exec,
  freeze,
  makeImage,
  mib,
  write,
  type StorageBed,
} from './disks.ts';
import { fillUp } from './mounts.ts';
import { startZfsFuse, zfsFuseMissing } from './zfsFuse.ts';

const missing = await zfsFuseMissing();

describe.skipIf(missing !== undefined)(missing ?? 'zfs by zfs-fuse', () => {
  let fuse: { stop(): Promise<void> };
  beforeAll(async () => {
    fuse = await startZfsFuse();
  });
  afterAll(async () => {
    await fuse.stop();
  });

  async function poolBed(): Promise<StorageBed & { readonly pool: string; readonly top: string }> {
    const top = await mkdtemp(path.join(os.tmpdir(), 'coppice-zfs-'));
    await chmod(top, 0o755);
    const pool = `coppice${randomUUID().slice(0, 8)}`;
    const place = await initZfs({
      ...{ pool, prefix: 'c', mountpoint: path.join(top, 'mnt') },
      ...{ file: path.join(top, 'pool.img'), sizeBytes: 512 * mib },
    });
    const images = path.join(top, 'images');
    const work = path.join(top, 'work');
    await mkdir(images);
    await mkdir(work);
    const filler = path.join(top, 'mnt', 'filler');
    return {
      ...{ images, work, pool, top },
      open: () => zfsStorage(place),
      fill: () => fillUp(filler),
      async drain() {
        await rm(filler, { force: true });
        // The pool gives blocks back some transactions later; each of these is one.
        const probe = `${pool}/probe`;
        for (let made = 0, tries = 0; made < 5 && tries < 200; tries += 1) {
          const fits = await codeOf(exec('zfs', ['create', '-o', 'mountpoint=none', probe]));
          if (fits === 'done') {
            made += 1;
            await exec('zfs', ['destroy', probe]);
          } else await exec('zfs', ['set', `coppice:try=${String(tries)}`, pool]);
        }
      },
      async close() {
        await exec('zpool', ['destroy', pool]);
        await rm(top, { recursive: true, force: true });
      },
    };
  }

  conformance('files in datasets', poolBed);

  describe('beyond what all promise', () => {
    let bed: Awaited<ReturnType<typeof poolBed>>;
    beforeAll(async () => {
      bed = await poolBed();
    });
    afterAll(async () => {
      await bed.close();
    });

    it('setting up again changes nothing and finds the same', async () => {
      const again = await initZfs({ pool: bed.pool, prefix: 'c', mountpoint: '/nowhere' });
      expect(again).toEqual({ pool: bed.pool, prefix: 'c', mode: 'file', dialect: 'fuse' });
      expect(await readZfsPlace({ pool: bed.pool, prefix: 'c' })).toEqual(again);
    });

    it('init makes a pool of a file, chooses it, and keeps what is on qcow2 reachable', async () => {
      const state = path.join(bed.top, 'state');
      const pool = `${bed.pool}b`;
      const storages = await openStorages({ state, env: {} });
      const file = path.join(bed.top, 'second.img');
      const input = { pool, device: file, size_gb: 1 };
      try {
        const outcome = await storages.init(input, () => undefined);
        expect(outcome).toMatchObject({ backend: 'zfs', location: `${pool}/coppice` });
        expect(outcome.steps.length).toBe(3);
        expect((await storages.init({ pool }, () => undefined)).steps.length).toBe(1);
        expect(storages.default().name).toBe('zfs');
        const later = await openStorages({ state, env: {} });
        expect(later.inUse().map(({ name }) => name)).toEqual(['qcow2', 'zfs']);
        expect(await later.default().all()).toEqual([]);
      } finally {
        await exec('zpool', ['destroy', pool]);
      }
    });

    it('a dataset with other data, a pool that is not there and odd names are refused', async () => {
      await exec('zfs', ['create', '-p', '-o', 'mountpoint=none', `${bed.pool}/other/data`]);
      const mountpoint = path.join(bed.top, 'x');
      const attempt = async (pool: string, prefix: string): Promise<string> =>
        await codeOf(initZfs({ pool, prefix, mountpoint }));
      expect(await attempt(bed.pool, 'other')).toBe('wrong_state');
      expect(await attempt('coppicenone', 'c')).toBe('invalid_input');
      expect(await attempt(bed.pool, 'a b')).toBe('invalid_input');
      expect(await attempt('-o', 'c')).toBe('invalid_input');
      expect(await codeOf(readZfsPlace({ pool: 'coppicenone', prefix: 'c' }))).toBe(
        'prerequisite_missing',
      );
    });

    it('layers go in any order, and the datasets of deleted heads with them', async () => {
      const storage = bed.open();
      const image = await makeImage(bed.images);
      const first = await storage.createHead({
        id: randomUUID(),
        base: image,
        sizeBytes: diskBytes,
      });
      const lower = await freeze(storage, first);
      const fork = await storage.createHead({
        ...{ id: randomUUID(), sizeBytes: diskBytes },
        base: { kind: 'layer', locator: lower.layer },
      });
      const upper = await freeze(storage, fork);
      await storage.deleteHead(lower.head);
      // A clone stands on it: it is deferred, and no longer there for anybody else.
      await storage.deleteLayer(lower.layer);
      expect(await codeOf(storage.stamp(lower.layer))).toBe('layer_missing');
      expect(new Set(await storage.all())).toEqual(new Set([fork, upper.layer]));
      await storage.deleteHead(fork);
      await storage.deleteLayer(upper.layer);
      const { stdout } = await exec('zfs', ['list', '-rH', '-o', 'name', `${bed.pool}/c/heads`]);
      expect(stdout.trim()).toBe(`${bed.pool}/c/heads`);
    });

    it('a deleted head gives back what it wrote after its last layer', async () => {
      const storage = bed.open();
      const image = await makeImage(bed.images);
      const first = await storage.createHead({
        id: randomUUID(),
        base: image,
        sizeBytes: diskBytes,
      });
      const { layer, head } = await freeze(storage, first);
      const { freeBytes } = await storage.space();
      await write(storage, head, 0x99, 0, 24 * mib);
      await storage.deleteHead(head);
      await exec('sync');
      expect((await storage.space()).freeBytes).toBeGreaterThan(freeBytes - 4 * mib);
      await storage.deleteLayer(layer);
    });

    it('copies of images stay while something stands on them', async () => {
      const storage = bed.open();
      const image = await makeImage(bed.images);
      const copies = async (): Promise<number> => {
        const { stdout } = await exec('zfs', ['list', '-rH', '-o', 'name', `${bed.pool}/c/images`]);
        return stdout.trim().split('\n').length - 1;
      };
      const head = await storage.createHead({
        id: randomUUID(),
        base: image,
        sizeBytes: diskBytes,
      });
      await storage.keepImages?.(new Set());
      expect(await copies()).toBe(1);
      await storage.deleteHead(head);
      await storage.keepImages?.(new Set([image.digest]));
      expect(await copies()).toBe(1);
      await storage.keepImages?.(new Set());
      expect(await copies()).toBe(0);
    });

    it('an administrator cannot destroy a layer by mistake', async () => {
      const storage = bed.open();
      const image = await makeImage(bed.images);
      const head = await storage.createHead({
        id: randomUUID(),
        base: image,
        sizeBytes: diskBytes,
      });
      const { layer } = await freeze(storage, head);
      const destroyed = exec('zfs', ['destroy', `${bed.pool}/c/${layer}`]);
      await expect(destroyed).rejects.toThrow(/busy/);
      await storage.deleteHead(head);
      await storage.deleteLayer(layer);
      expect(await storage.all()).toEqual([]);
    });
  });
});
