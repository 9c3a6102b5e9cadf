import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  imageCatalogue,
  type ImageCatalogue,
  type ProducedImage,
} from '../../../helper-daemon/images/catalogue.ts';
import { openDatabase, transaction, type Database } from '../../../helper-daemon/store/database.ts';
import { imageStore } from '../../../helper-daemon/store/imageStore.ts';
import { journal } from '../../../helper-daemon/store/journal.ts';

const work = { signal: new AbortController().signal, progress: () => undefined };

let directory: string;
let images: string;
let db: Database;
let catalogue: ImageCatalogue;
let users: Record<string, number>;
let produce: (directory: string) => ProducedImage;

function produced(target: string, digest: string): ProducedImage {
  const file = path.join(target, 'disk.qcow2');
  writeFileSync(file, digest);
  return { path: file, sha256: digest, sizeBytes: 3, virtualBytes: 1024, provenance: { digest } };
}

beforeEach(() => {
  directory = mkdtempSync(path.join(os.tmpdir(), 'coppice-catalogue-'));
  images = path.join(directory, 'images');
  mkdirSync(images);
  db = openDatabase(path.join(directory, 'test.db'));
  users = {};
  produce = (target) => produced(target, 'aaa');
  catalogue = imageCatalogue({
    directory: images,
    store: imageStore(db),
    workspaces: { countOnImage: (digest) => users[digest] ?? 0 },
    journal: journal(db),
    transaction: (run) => transaction(db, run),
    sources: {
      recipes: () => Promise.resolve([{ name: 'debian-dev', description: 'default' }]),
      build: (_name, options) => Promise.resolve(produce(options.directory)),
      import: (_source, _name, options) => Promise.resolve(produce(options.directory)),
      verify: () => Promise.resolve(),
    },
    now: () => new Date(0),
    changed: () => undefined,
  });
});
afterEach(() => {
  db.close();
  rmSync(directory, { recursive: true, force: true });
});

describe('imageCatalogue', () => {
  it('offers a recipe until it is built, and then the image', async () => {
    await expect(catalogue.require(undefined)).rejects.toMatchObject({
      code: 'image_missing',
      next: 'Build it: coppice image build debian-dev.',
    });
    await catalogue.build('debian-dev', { ...work, rebuild: false });
    const image = await catalogue.require(undefined);
    expect(existsSync(image.path)).toBe(true);
    expect(await catalogue.list().recipes).toEqual([]);
  });

  it('leaves nothing of a build that failed', async () => {
    produce = (target) => {
      produced(target, 'half');
      throw new Error('no');
    };
    await expect(catalogue.build('debian-dev', { ...work, rebuild: false })).rejects.toThrow('no');
    expect(readdirSync(images)).toEqual([]);
    expect(journal(db).open()).toEqual([]);
  });

  it('keeps the old file of a rebuilt image as long as a workspace is based on it', async () => {
    await catalogue.build('debian-dev', { ...work, rebuild: false });
    users = { 'sha256:aaa': 1 };
    produce = (target) => produced(target, 'bbb');
    await catalogue.build('debian-dev', { ...work, rebuild: true });
    expect((await catalogue.require(undefined)).digest).toBe('sha256:bbb');
    expect((await catalogue.requireDigest('debian-dev', 'sha256:aaa')).path).toMatch(/aaa/);
    users = {};
    await catalogue.tidy();
    expect(readdirSync(images)).toEqual(['bbb.qcow2']);
  });

  it('does not remove an image that is in use, nor import over a name', async () => {
    await catalogue.import('/x', 'mine', work);
    await expect(catalogue.import('/y', 'mine', work)).rejects.toMatchObject({
      code: 'name_taken',
    });
    users = { 'sha256:aaa': 2 };
    await expect(catalogue.remove('mine')).rejects.toMatchObject({ code: 'image_in_use' });
    users = {};
    await catalogue.remove('mine');
    expect(readdirSync(images)).toEqual([]);
  });

  it('removes what an interrupted build left', async () => {
    mkdirSync(path.join(images, 'new-1234'));
    await catalogue.tidy();
    expect(readdirSync(images)).toEqual([]);
  });
});
