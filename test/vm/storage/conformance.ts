/** What every storage backend promises, tried on real file systems and pools. */
import { randomBytes, randomUUID } from 'node:crypto';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CoppiceError } from '../../../protocol/errors.ts';
import type {
  Base,
  BaseImage,
  Locator,
  StorageBackend,
} from '../../../helper-daemon/storage/backend.ts';
import {
  codeOf,
  diskBytes,
  exec,
  expectBytes,
  freeze,
  imageBytes,
  makeFreshImage,
  makeImage,
  mib,
  write,
  type StorageBed,
} from './disks.ts';

export function conformance(name: string, makeBed: () => Promise<StorageBed>): void {
  describe(name, () => {
    let bed: StorageBed;
    let storage: StorageBackend;
    let image: BaseImage;
    beforeAll(async () => {
      bed = await makeBed();
      storage = bed.open();
      image = await makeImage(bed.images);
    });
    afterAll(async () => {
      await bed.close();
    });

    const newHead = async (base: Base = image, sizeBytes = diskBytes): Promise<Locator> =>
      await storage.createHead({ id: randomUUID(), base, sizeBytes });
    const onLayer = (locator: Locator): Base => ({ kind: 'layer', locator });
    /** Deletes heads and layers and expects that nothing of them is left. */
    async function clear(heads: readonly Locator[], layers: readonly Locator[]): Promise<void> {
      for (const head of heads) await storage.deleteHead(head);
      for (const layer of layers) await storage.deleteLayer(layer);
      expect(await storage.all()).toEqual([]);
    }

    it('a head holds its image, is as large as asked, and keeps what is written', async () => {
      const id = randomUUID();
      const head = await storage.createHead({ id, base: image, sizeBytes: diskBytes });
      expect(head).toBe(storage.headLocator(id));
      await expectBytes(storage, head, 0x11, 0, mib);
      await expectBytes(storage, head, 0, imageBytes, diskBytes - imageBytes);
      await write(storage, head, 0x22, diskBytes - mib, mib);
      storage = bed.open();
      await expectBytes(storage, head, 0x22, diskBytes - mib, mib);
      expect(await storage.all()).toEqual([head]);
      expect(await storage.check(head)).toEqual([]);
      await clear([head], []);
    });

    it('a head made again after a crash is the one that was made', async () => {
      const request = { id: randomUUID(), base: image, sizeBytes: diskBytes };
      const head = await storage.createHead(request);
      await write(storage, head, 0x23, 0, mib);
      expect(await bed.open().createHead(request)).toBe(head);
      await expectBytes(storage, head, 0x23, 0, mib);
      await clear([head], []);
    });

    it('a disk smaller than what it stands on is refused', async () => {
      expect(await codeOf(newHead(image, imageBytes / 2))).toBe('invalid_input');
      const { layer, head } = await freeze(storage, await newHead());
      expect(await codeOf(newHead(onLayer(layer), imageBytes))).toBe('invalid_input');
      await clear([head], [layer]);
    });

    it('two heads of a new image at once both hold it', async () => {
      const fresh = await makeFreshImage(bed.images);
      const heads = await Promise.all([newHead(fresh), newHead(fresh), newHead(fresh)]);
      for (const head of heads) await expectBytes(storage, head, 0x77, 0, mib);
      await clear(heads, []);
    });

    it('a frozen layer stays what it was whatever its head, forks and siblings write', async () => {
      const first = await newHead();
      await write(storage, first, 0x31, 0, mib);
      const { layer, head } = await freeze(storage, first);
      const stamp = await storage.stamp(layer);
      const digest = await storage.digest(layer);
      await write(storage, head, 0x32, 0, mib);
      const fork = await newHead(onLayer(layer));
      await expectBytes(storage, fork, 0x31, 0, mib);
      await write(storage, fork, 0x33, 0, mib);
      const restored = await newHead(onLayer(layer));
      await expectBytes(storage, restored, 0x31, 0, mib);
      await expectBytes(storage, head, 0x32, 0, mib);
      await expectBytes(storage, fork, 0x33, 0, mib);
      expect(await storage.stamp(layer)).toEqual(stamp);
      expect(await storage.digest(layer)).toBe(digest);
      expect(await storage.check(layer)).toEqual([]);
      expect(new Set(await storage.all())).toEqual(new Set([head, fork, restored, layer]));
      await clear([head, fork, restored], [layer]);
    });

    it('a freeze that is taken back leaves the head as it was', async () => {
      const head = await newHead();
      await write(storage, head, 0x41, 0, mib);
      const ids = { layerId: randomUUID(), nextHeadId: randomUUID() };
      const prepared = await storage.prepareFreeze({ head, ...ids });
      await prepared.abort();
      await prepared.abort();
      expect(await storage.all()).toEqual([head]);
      await write(storage, head, 0x42, 0, mib);
      await expectBytes(storage, head, 0x42, 0, mib);
      await clear([head], []);
    });

    it('every step of a freeze may come again after a crash', async () => {
      const head = await newHead();
      await write(storage, head, 0x45, 0, mib);
      const request = { head, layerId: randomUUID(), nextHeadId: randomUUID() };
      await storage.prepareFreeze(request);
      const second = await bed.open().prepareFreeze(request);
      await second.commit();
      await second.commit();
      await write(storage, second.nextHead, 0x46, 0, mib);
      const third = await bed.open().prepareFreeze(request);
      expect(third.nextHead).toBe(second.nextHead);
      await third.commit();
      await third.settle();
      await third.settle();
      await expectBytes(storage, third.nextHead, 0x46, 0, mib);
      const fork = await newHead(onLayer(third.layer));
      await expectBytes(storage, fork, 0x45, 0, mib);
      await clear([third.nextHead, fork], [third.layer]);
    });

    it('a layer may go before or after the heads beside it, and going twice is no error', async () => {
      for (const headFirst of [true, false]) {
        const lower = await freeze(storage, await newHead());
        await write(storage, lower.head, 0x51, 0, mib);
        const upper = await freeze(storage, lower.head);
        const side = await newHead(onLayer(lower.layer));
        await write(storage, side, 0x52, 0, mib);
        if (headFirst) await storage.deleteHead(side);
        await storage.deleteHead(upper.head);
        await storage.deleteLayer(upper.layer);
        await storage.deleteLayer(upper.layer);
        expect(await storage.all()).not.toContain(upper.layer);
        if (!headFirst) {
          await expectBytes(storage, side, 0x52, 0, mib);
        }
        await storage.deleteHead(side);
        await storage.deleteHead(side);
        await storage.deleteLayer(lower.layer);
        expect(await storage.all()).toEqual([]);
      }
    });

    it('what is kept survives the deletion of the head it was frozen from', async () => {
      const { layer, head } = await freeze(storage, await newHead());
      await write(storage, head, 0x55, 0, 8 * mib);
      await storage.deleteHead(head);
      expect(await storage.all()).toEqual([layer]);
      const fork = await newHead(onLayer(layer));
      await expectBytes(storage, fork, 0x11, 0, mib);
      const again = await freeze(storage, fork);
      await storage.deleteHead(again.head);
      await expectKept(again.layer, 0x11);
      await clear([], [again.layer, layer]);
    });

    async function expectKept(layer: Locator, fill: number): Promise<void> {
      const probe = await newHead(onLayer(layer));
      await expectBytes(storage, probe, fill, 0, mib);
      await storage.deleteHead(probe);
    }

    it('a head grows, keeps its content, and is never made smaller', async () => {
      const { layer, head } = await freeze(storage, await newHead());
      await storage.growHead(head, diskBytes * 2);
      await storage.growHead(head, diskBytes);
      await expectBytes(storage, head, 0x11, 0, mib);
      await expectBytes(storage, head, 0, diskBytes, diskBytes);
      await write(storage, head, 0x61, diskBytes * 2 - mib, mib);
      await expectBytes(storage, head, 0x61, diskBytes * 2 - mib, mib);
      const fork = await newHead(onLayer(layer), diskBytes);
      await expectBytes(storage, fork, 0, diskBytes - mib, mib);
      await clear([head, fork], [layer]);
    });

    it('what takes no room is not charged: a fork is small until it writes', async () => {
      const first = await newHead();
      await write(storage, first, 0x65, 0, 16 * mib);
      const { layer, head } = await freeze(storage, first);
      const fork = await newHead(onLayer(layer));
      expect(await storage.usedBytes(fork)).toBeLessThan(4 * mib);
      await write(storage, fork, 0x66, 0, 8 * mib);
      await syncAll();
      expect(await storage.usedBytes(fork)).toBeGreaterThanOrEqual(7 * mib);
      const { freeBytes, totalBytes } = await storage.space();
      expect(freeBytes).toBeGreaterThan(0);
      expect(totalBytes).toBeGreaterThan(freeBytes);
      await clear([head, fork], [layer]);
    });

    it('what is gone is called missing', async () => {
      const head = storage.headLocator(randomUUID());
      const { layer, head: next } = await freeze(storage, await newHead());
      await clear([next], [layer]);
      expect(await codeOf(storage.disk(head))).toBe('layer_missing');
      expect(await codeOf(storage.stamp(layer))).toBe('layer_missing');
      expect(await codeOf(newHead(onLayer(layer)))).toBe('layer_missing');
      expect(await codeOf(freeze(storage, head))).toBe('layer_missing');
      expect((await storage.check(layer)).length).toBe(1);
    });

    it('locators that are not its own are refused', async () => {
      for (const forged of ['../../etc/passwd', '/etc/passwd', 'disks/../x.qcow2', '', 'disks/a']) {
        expect(await codeOf(storage.deleteHead(forged))).toBe('internal');
        expect(await codeOf(storage.deleteLayer(forged))).toBe('internal');
        expect(await codeOf(storage.disk(forged))).toBe('internal');
        expect(await codeOf(storage.discard(forged))).toBe('internal');
      }
      expect(() => storage.headLocator('../x')).toThrow(CoppiceError);
    });

    it('what nobody knows is listed and can be discarded', async () => {
      const head = await newHead();
      const frozen = await freeze(storage, head);
      for (const locator of await storage.all()) {
        if (locator !== frozen.head) continue;
        await storage.discard(locator);
      }
      expect(await storage.all()).toEqual([frozen.layer]);
      await storage.discard(frozen.layer);
      expect(await storage.all()).toEqual([]);
    });

    it('a whole disk goes out and comes back', async () => {
      const head = await newHead();
      await write(storage, head, 0x71, 4 * mib, mib);
      const { layer, head: next } = await freeze(storage, head);
      const file = path.join(bed.work, `${randomUUID()}.qcow2`);
      await storage.exportTo(layer, file, undefined);
      const request = { id: randomUUID(), file, base: undefined, virtualBytes: diskBytes };
      const imported = await storage.importLayer(request);
      expect(await bed.open().importLayer(request)).toBe(imported);
      const fork = await newHead(onLayer(imported));
      await expectBytes(storage, fork, 0x11, 0, mib);
      await expectBytes(storage, fork, 0x71, 4 * mib, mib);
      await expectBytes(storage, fork, 0, 8 * mib, diskBytes - 8 * mib);
      expect(await storage.check(imported)).toEqual([]);
      await rm(file);
      await clear([fork, next], [imported, layer]);
    });

    it('a difference goes out over its own base and over an older one, names no path, and comes back', async () => {
      const lower = await freeze(storage, await newHead());
      await write(storage, lower.head, 0x72, 4 * mib, mib);
      const middle = await freeze(storage, lower.head);
      await write(storage, middle.head, 0x73, 6 * mib, mib);
      const upper = await freeze(storage, middle.head);
      const bases: readonly Base[] = [onLayer(middle.layer), onLayer(lower.layer), image];
      for (const base of bases) {
        const file = path.join(bed.work, `${randomUUID()}.qcow2`);
        await storage.exportTo(upper.layer, file, base);
        expect((await stat(file)).size).toBeLessThan(8 * mib);
        const bytes = await readFile(file);
        expect(bytes.subarray(0, 65536).includes(Buffer.from('/'))).toBe(false);
        const request = { id: randomUUID(), file, base, virtualBytes: diskBytes };
        const imported = await storage.importLayer(request);
        const fork = await newHead(onLayer(imported));
        await expectBytes(storage, fork, 0x11, 0, mib);
        await expectBytes(storage, fork, 0x72, 4 * mib, mib);
        await expectBytes(storage, fork, 0x73, 6 * mib, mib);
        await expectBytes(storage, fork, 0, 8 * mib, 8 * mib);
        await storage.deleteHead(fork);
        await storage.deleteLayer(imported);
        await rm(file);
      }
      await clear([upper.head], [upper.layer, middle.layer, lower.layer]);
    });

    it('an archive that names other files of the host or is damaged is refused and leaves nothing', async () => {
      const secret = path.join(bed.work, 'secret');
      await writeFile(secret, randomBytes(mib));
      const evil = path.join(bed.work, 'evil.qcow2');
      const attempt = async (): Promise<string> =>
        await codeOf(
          storage.importLayer({
            id: randomUUID(),
            file: evil,
            base: undefined,
            virtualBytes: diskBytes,
          }),
        );
      await exec('qemu-img', [
        ...['create', '-q', '-f', 'qcow2', '-o', `data_file=${secret}.raw,data_file_raw=on`],
        ...[evil, String(diskBytes)],
      ]);
      expect(await attempt()).toBe('archive_invalid');
      await writeFile(evil, randomBytes(mib));
      expect(await attempt()).toBe('archive_invalid');
      await rm(evil);
      expect(await attempt()).toBe('archive_invalid');
      await exec('ln', ['-s', secret, evil]);
      expect(await attempt()).toBe('archive_invalid');
      await rm(evil);
      await exec('qemu-img', ['create', '-q', '-f', 'qcow2', evil, String(diskBytes * 4)]);
      expect(await attempt()).toBe('archive_invalid');
      expect(await storage.all()).toEqual([]);
      await Promise.all([rm(secret), rm(evil), rm(`${secret}.raw`)]);
    });

    it('a foreign backing file in an archive is never read', async () => {
      const secret = path.join(bed.work, 'secret');
      await writeFile(secret, Buffer.alloc(diskBytes, 0x99));
      const evil = path.join(bed.work, 'evil.qcow2');
      await exec('qemu-img', [
        ...['create', '-q', '-f', 'qcow2', '-b', secret, '-F', 'raw'],
        ...[evil, String(diskBytes)],
      ]);
      const request = { id: randomUUID(), file: evil, base: undefined, virtualBytes: diskBytes };
      const imported = await storage.importLayer(request);
      const fork = await newHead(onLayer(imported));
      await expectBytes(storage, fork, 0, 0, diskBytes);
      await rm(secret);
      await rm(evil);
      await clear([fork], [imported]);
    });

    it('a full disk is an error at every step, and nothing is lost or left', async () => {
      const first = await newHead();
      await write(storage, first, 0x81, 0, 4 * mib);
      const { layer, head } = await freeze(storage, first);
      await write(storage, head, 0x82, 4 * mib, 4 * mib);
      const file = path.join(bed.work, 'out.qcow2');
      await storage.exportTo(layer, file, undefined);
      const before = new Set(await storage.all());
      const fresh = await makeFreshImage(bed.images);
      await bed.fill();
      const codes: Record<string, string> = {};
      try {
        codes['head'] = await codeOf(newHead(onLayer(layer)));
        codes['image'] = await codeOf(newHead(fresh));
        codes['freeze'] = await codeOf(freeze(storage, head));
        codes['import'] = await codeOf(
          storage.importLayer({
            id: randomUUID(),
            file,
            base: undefined,
            virtualBytes: diskBytes,
          }),
        );
        codes['export'] = await codeOf(storage.exportTo(head, `${file}.2`, undefined));
      } finally {
        await bed.drain();
      }
      for (const [step, code] of Object.entries(codes)) {
        expect(['no_space', 'done'], `${step}: ${code}`).toContain(code);
      }
      expect(codes['import']).toBe('no_space');
      const after = await storage.all();
      // What succeeded is there; what failed left nothing.
      const madeHeads = [codes['head'], codes['image']].filter((code) => code === 'done').length;
      const madeLayers = codes['freeze'] === 'done' ? 1 : 0;
      expect(after.length).toBe(before.size + madeHeads + madeLayers);
      for (const locator of after) expect(await storage.check(locator)).toEqual([]);
      await expectBytes(storage, head, 0x82, 4 * mib, 4 * mib);
      await expectBytes(storage, head, 0x81, 0, 4 * mib);
      const later = await newHead(onLayer(layer));
      await expectBytes(storage, later, 0x81, 0, 4 * mib);
      await rm(file);
      await rm(`${file}.2`, { force: true });
      for (const locator of await storage.all()) await storage.discard(locator);
      expect(await storage.all()).toEqual([]);
    });

    it.skipIf(process.getuid?.() !== 0)(
      'the account of a machine can use its head and no other, and read layers but not write them',
      async () => {
        const owner = { uid: 1_900_000_007, gid: 1_900_000_007 };
        const request = { id: randomUUID(), base: image, sizeBytes: diskBytes, owner };
        const mine = await storage.createHead(request);
        const prepared = await storage.prepareFreeze({
          head: mine,
          layerId: randomUUID(),
          nextHeadId: randomUUID(),
          owner,
        });
        await prepared.commit();
        await prepared.settle();
        const other = await storage.createHead({
          id: randomUUID(),
          base: image,
          sizeBytes: diskBytes,
        });
        const as = async (head: Locator, command: string): Promise<boolean> => {
          const { path: file, format } = await storage.disk(head);
          const ids = [`--reuid=${String(owner.uid)}`, `--regid=${String(owner.gid)}`];
          return await exec('setpriv', [
            ...[...ids, '--clear-groups', 'qemu-io', '-f', format, '-c', command, file],
          ]).then(
            () => true,
            () => false,
          );
        };
        expect(await as(prepared.nextHead, 'write -P 0x91 0 64k')).toBe(true);
        expect(await as(other, 'read 0 64k')).toBe(false);
        await expectBytes(storage, prepared.nextHead, 0x91, 0, 65536);
        await expectKept(prepared.layer, 0x11);
        await clear([prepared.nextHead, other], [prepared.layer]);
      },
    );

    it('chains are shortened without changing what heads and layers hold', async ({ skip }) => {
      const { chains } = storage;
      if (chains === undefined) return skip('no chains');
      const layers: Locator[] = [];
      let head = await newHead();
      for (let step = 0; step < 4; step += 1) {
        await write(storage, head, 0xa0 + step, step * mib, mib);
        const frozen = await freeze(storage, head);
        layers.push(frozen.layer);
        head = frozen.head;
      }
      const [first, second, third, fourth] = layers as [Locator, Locator, Locator, Locator];
      await write(storage, head, 0xaf, 8 * mib, mib);
      expect(await chains.depth(head)).toBe(4);
      expect(await chains.depth(first)).toBe(0);
      expect(await chains.standsOn(first)).toEqual({ imageDigest: image.digest });
      const expectAll = async (disk: Locator): Promise<void> => {
        for (let step = 0; step < 4; step += 1) {
          await expectBytes(storage, disk, 0xa0 + step, step * mib, mib);
        }
        await expectBytes(storage, disk, 0, 16 * mib, 16 * mib);
      };
      // The second layer goes: the third takes its content over.
      await chains.merge(third, onLayer(first));
      await chains.merge(third, onLayer(first));
      expect(await chains.standsOn(third)).toBe(first);
      await storage.deleteLayer(second);
      await expectAll(head);
      expect(await chains.depth(head)).toBe(3);
      expect(await storage.check(third)).toEqual([]);
      await chains.pull(head, image);
      await chains.pull(head, image);
      expect(await chains.depth(head)).toBe(0);
      const side = await newHead(onLayer(fourth));
      await clearLater(layers);
      await expectAll(head);
      await expectBytes(storage, head, 0xaf, 8 * mib, mib);
      await storage.deleteHead(side);
      await clear([head], []);
    });

    async function clearLater(layers: readonly Locator[]): Promise<void> {
      for (const layer of layers.toReversed()) await storage.deleteLayer(layer);
    }

    async function syncAll(): Promise<void> {
      await exec('sync', ['-f', bed.work]);
    }
  });
}
