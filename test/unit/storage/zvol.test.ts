/** Volumes of OpenZFS by its recorded texts: what is asked of it, and what its refusals become. */
import { randomUUID } from 'node:crypto';
import { mkdir, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { StorageBackend } from '../../../helper-daemon/storage/backend.ts';
import { initZfs } from '../../../helper-daemon/storage/zfs/initZfs.ts';
import { refusalOf } from '../../../helper-daemon/storage/zfs/zfsCommand.ts';
import { zfsStorage } from '../../../helper-daemon/storage/zfs.ts';
import { CoppiceError } from '../../../protocol/errors.ts';
import { fakePrograms, type Answer, type FakePrograms } from './fakePrograms.ts';
import { mib, temporaryState, type TemporaryState } from './temporaryState.ts';

const root = 'tank/c';
const headId = randomUUID();
const layerId = randomUUID();
const head = `heads/${headId}`;
const layer = `${head}@${layerId}`;
const dataset = `${root}/${head}`;
const snapshot = `${root}/${layer}`;
const gib = 1024 * mib;

const properties = (name: string, values: Record<string, string | number>): string =>
  Object.entries(values)
    .map(([property, value]) => `${name}\t${property}\t${String(value)}\n`)
    .join('');
const get = 'zfs get -Hp -o name,property,value ';
const getAll = 'zfs get -rHp -o name,property,value ';

const room: Answer = {
  when: `${get}available,used ${root}`,
  out: properties(root, { available: 50 * gib, used: gib }),
};
const alive: Answer = {
  when: `${get}coppice:state ${dataset}`,
  out: properties(dataset, { 'coppice:state': '-' }),
};
const sized: Answer = {
  when: `${get}volsize ${dataset}`,
  out: properties(dataset, { volsize: 64 * mib }),
};
const typed: Answer = {
  when: `${get}type,coppice:owner ${dataset}`,
  out: properties(dataset, { type: 'volume', 'coppice:owner': '-' }),
};
const frozen: Answer = {
  when: `${get}coppice:bytes,defer_destroy ${snapshot}`,
  out: properties(snapshot, { 'coppice:bytes': 64 * mib, defer_destroy: 'off' }),
};

describe('zfs volumes', () => {
  let home: TemporaryState;
  let devices: string;
  beforeEach(async () => {
    home = await temporaryState();
    devices = path.join(home.state, 'dev');
    await mkdir(path.join(devices, 'zvol', root, 'heads'), { recursive: true });
  });
  afterEach(async () => {
    await home.remove();
  });

  async function open(
    answers: readonly Answer[],
  ): Promise<{ storage: StorageBackend; fake: FakePrograms }> {
    const fake = await fakePrograms(home.state, answers);
    const storage = zfsStorage({
      ...{ pool: 'tank', prefix: 'c', mode: 'zvol', dialect: 'openzfs' },
      programs: fake.programs,
      device: { devices, patienceMs: 1000 },
    });
    return { storage, fake };
  }

  async function makeNode(name = 'zd16'): Promise<string> {
    const node = path.join(devices, name);
    await writeFile(node, '');
    return node;
  }

  async function linkNode(): Promise<void> {
    await symlink(await makeNode(), path.join(devices, 'zvol', dataset));
  }

  const newHead = (storage: StorageBackend): Promise<string> =>
    storage.createHead({
      ...{ id: headId, sizeBytes: 100 * mib + 1 },
      base: { kind: 'layer', locator: layer },
      owner: { uid: 1234, gid: 1235 },
    });

  it('a fork is a clone that hosts do not look into, with a size in whole blocks', async () => {
    const { storage, fake } = await open([
      ...[room, frozen, sized],
      { when: 'zfs clone' },
      { when: 'zfs set' },
    ]);
    expect(await newHead(storage)).toBe(head);
    expect((await fake.asked()).filter((line) => !line.startsWith('zfs get'))).toEqual([
      `zfs clone -o volmode=dev ${snapshot} ${dataset}`,
      `zfs set volsize=${String(100 * mib + 16384)} ${dataset}`,
      `zfs set coppice:owner=1234:1235 ${dataset}`,
    ]);
  });

  it('a full pool is said to be full, whichever way it says so, and the clone goes', async () => {
    const texts = [
      { when: 'zfs clone', err: `cannot create '${dataset}': out of space\n`, code: 1 },
      {
        when: 'zfs set volsize',
        err: `cannot set property for '${dataset}': out of space\n`,
        code: 1,
      },
    ];
    for (const text of texts) {
      const { storage, fake } = await open([
        ...[room, frozen, sized, text],
        { when: 'zfs clone' },
        { when: 'zfs destroy' },
        { when: getAll, out: '' },
      ]);
      await expect(newHead(storage)).rejects.toMatchObject({ code: 'no_space' });
      const destroyed = (await fake.asked()).includes(`zfs destroy ${dataset}`);
      expect(destroyed).toBe(text.when !== 'zfs clone');
    }
  });

  it('nothing is made in a pool that is nearly full', async () => {
    const tight = { ...room, out: properties(root, { available: 100 * mib, used: 50 * gib }) };
    const { storage, fake } = await open([tight, frozen, alive]);
    const full = { code: 'no_space' };
    await expect(newHead(storage)).rejects.toMatchObject(full);
    const freeze = storage.prepareFreeze({ head, layerId, nextHeadId: randomUUID() });
    await expect(freeze).rejects.toMatchObject(full);
    expect((await fake.asked()).every((line) => line.startsWith('zfs get'))).toBe(true);
  });

  it('a freeze is one snapshot with its size, held afterwards; both may have been done', async () => {
    await linkNode();
    for (const done of [false, true]) {
      const { storage, fake } = await open([
        ...[room, alive, sized, typed],
        {
          when: 'zfs snapshot',
          ...(done
            ? { err: `cannot create snapshot '${snapshot}': dataset already exists\n`, code: 1 }
            : {}),
        },
        {
          when: 'zfs hold',
          ...(done
            ? {
                err: `cannot hold snapshot '${snapshot}': tag already exists on this dataset\n`,
                code: 1,
              }
            : {}),
        },
      ]);
      const prepared = await storage.prepareFreeze({ head, layerId, nextHeadId: randomUUID() });
      expect(prepared).toMatchObject({ layer, nextHead: head });
      expect(prepared.switchTo).toBeUndefined();
      await prepared.commit();
      await prepared.settle();
      expect((await fake.asked()).filter((line) => !line.startsWith('zfs get'))).toEqual([
        `zfs snapshot -o coppice:bytes=${String(64 * mib)} ${snapshot}`,
        `zfs hold coppice ${snapshot}`,
      ]);
    }
  });

  it('a snapshot for which there is no room is called so although the text has no name', async () => {
    await linkNode();
    const { storage } = await open([
      ...[room, alive, sized, typed],
      { when: 'zfs snapshot', err: 'cannot create snapshots : out of space\n', code: 1 },
    ]);
    const prepared = await storage.prepareFreeze({ head, layerId, nextHeadId: randomUUID() });
    await expect(prepared.commit()).rejects.toMatchObject({ code: 'no_space' });
  });

  it('what is busy is tried again, what is gone is deleted', async () => {
    const { storage, fake } = await open([
      {
        ...{ when: 'zfs release', code: 1 },
        err: `cannot release hold from snapshot '${snapshot}': no such tag on this dataset\n`,
      },
      {
        ...{ when: 'zfs destroy -d', code: 1, times: 2 },
        err: `cannot destroy snapshot ${snapshot}: dataset is busy\n`,
      },
      {
        ...{ when: 'zfs destroy -d', code: 1 },
        err: 'could not find any snapshots to destroy; check snapshot names.\n',
      },
      {
        ...{ when: getAll, code: 1 },
        err: `cannot open '${dataset}': dataset does not exist\n`,
      },
    ]);
    await storage.deleteLayer(layer);
    await storage.deleteHead(head);
    const destroys = (await fake.asked()).filter((line) => line.startsWith('zfs destroy'));
    expect(destroys).toEqual(Array(3).fill(`zfs destroy -d ${snapshot}`));
  });

  it('any other refusal is passed on, with what was said', async () => {
    const { storage } = await open([
      { when: 'zfs release' },
      { when: 'zfs destroy', err: `cannot destroy '${snapshot}': permission denied\n`, code: 1 },
    ]);
    const deleted = storage.deleteLayer(layer);
    await expect(deleted).rejects.toMatchObject({ code: 'command_failed' });
    await expect(deleted).rejects.toThrow(/permission denied/);
  });

  it('the dataset of a deleted head goes with its last layer, then the one it came from', async () => {
    const lower = `${root}/heads/${randomUUID()}`;
    const { storage, fake } = await open([
      { when: 'zfs release' },
      { when: 'zfs destroy' },
      {
        when: `${getAll}coppice:state,origin ${dataset}`,
        out: properties(dataset, { 'coppice:state': 'husk', origin: `${lower}@${randomUUID()}` }),
      },
      {
        when: `${getAll}coppice:state,origin ${lower}`,
        out: properties(lower, { 'coppice:state': 'husk', origin: `${root}/images/x@base` }),
      },
    ]);
    await storage.deleteLayer(layer);
    expect((await fake.asked()).filter((line) => line.startsWith('zfs destroy'))).toEqual([
      `zfs destroy -d ${snapshot}`,
      `zfs destroy ${dataset}`,
      `zfs destroy ${lower}`,
    ]);
  });

  it('a head with layers becomes a husk, rolled back to the newest by transaction', async () => {
    const old = `${dataset}@${randomUUID()}`;
    const { storage, fake } = await open([
      {
        when: `${getAll}origin,createtxg ${dataset}`,
        out:
          properties(dataset, { origin: '-', createtxg: 5 }) +
          properties(snapshot, { origin: '-', createtxg: 1000 }) +
          properties(old, { origin: '-', createtxg: 999 }),
      },
      { when: 'zfs set' },
      { when: 'zfs rollback' },
    ]);
    await storage.deleteHead(head);
    expect((await fake.asked()).slice(1)).toEqual([
      `zfs set coppice:state=husk ${dataset}`,
      `zfs rollback ${snapshot}`,
    ]);
  });

  it('a deferred layer is gone for everybody, and is not listed', async () => {
    const { storage } = await open([
      {
        when: `${get}guid,createtxg,referenced,defer_destroy ${snapshot}`,
        out: properties(snapshot, { guid: 1, createtxg: 2, referenced: 3, defer_destroy: 'on' }),
      },
      {
        when: `${getAll}coppice:state,defer_destroy ${root}/heads`,
        out:
          properties(`${root}/heads`, { 'coppice:state': '-', defer_destroy: '-' }) +
          properties(dataset, { 'coppice:state': 'husk', defer_destroy: '-' }) +
          properties(snapshot, { 'coppice:state': 'husk', defer_destroy: 'on' }),
      },
      { when: `${getAll}type ${root}/tmp`, out: properties(`${root}/tmp`, { type: 'filesystem' }) },
    ]);
    await expect(storage.stamp(layer)).rejects.toMatchObject({ code: 'layer_missing' });
    expect(await storage.all()).toEqual([]);
  });

  describe('device nodes', () => {
    it('are found by their link, though it comes late', async () => {
      const { storage } = await open([alive, typed]);
      const late = setTimeout(() => void linkNode(), 200);
      const disk = await storage.disk(head);
      clearTimeout(late);
      expect(disk).toEqual({ path: path.join(devices, 'zd16'), format: 'raw' });
    });

    it('are asked for their volume where there are no links', async () => {
      const [wrong, right] = [await makeNode('zd0'), await makeNode('zd32')];
      const { storage } = await open([
        ...[alive, typed],
        { when: `zvol_id ${wrong}`, out: 'tank/other\n' },
        { when: `zvol_id ${right}`, out: `${dataset}\n` },
      ]);
      expect((await storage.disk(head)).path).toBe(right);
    });

    it('that do not come are an error', async () => {
      const { storage } = await open([alive, typed]);
      await expect(storage.disk(head)).rejects.toMatchObject({ code: 'prerequisite_missing' });
    });

    it.skipIf(process.getuid?.() !== 0)('are given to the account of the machine', async () => {
      await linkNode();
      const { storage } = await open([
        alive,
        { ...typed, out: properties(dataset, { type: 'volume', 'coppice:owner': '1234:1235' }) },
      ]);
      const facts = await stat((await storage.disk(head)).path);
      expect([facts.uid, facts.gid, facts.mode & 0o777]).toEqual([1234, 1235, 0o600]);
    });
  });

  it('setting up finds that volumes can be made, and leaves no trace of trying', async () => {
    const { fake } = await open([
      { when: 'zpool list -H -o name', out: 'tank\n' },
      { when: 'zpool list -H -o health tank', out: 'ONLINE\n' },
      { when: 'zfs list', out: 'tank\n' },
      {
        ...{ when: `${getAll}coppice:format,type ${root}`, code: 1 },
        err: `cannot open '${root}': dataset does not exist\n`,
      },
      {
        when: `${get}coppice:mode,coppice:dialect ${root}`,
        out: properties(root, { 'coppice:mode': '-', 'coppice:dialect': '-' }),
      },
      { when: 'zfs get -Hp -o value written', out: '0\n' },
      { when: 'zfs create' },
      { when: 'zfs destroy' },
      { when: 'zfs set' },
    ]);
    const place = { pool: 'tank', prefix: 'c' };
    const { programs } = fake;
    expect(await initZfs({ ...place, mountpoint: '/mnt/c', programs })).toEqual({
      ...place,
      ...{ mode: 'zvol', dialect: 'openzfs' },
    });
    const asked = await fake.asked();
    const probe = asked.findIndex((line) => line.startsWith('zfs create -s -o volmode=dev'));
    expect(asked[probe + 1]).toBe(`zfs destroy ${root}/probe`);
    expect(asked).not.toContainEqual(expect.stringContaining('quota'));
    expect(asked.at(-1)).toBe(`zfs set coppice:mode=zvol ${root}`);
  });

  it('setting up refuses a pool that is not healthy, and a host whose kernel has no ZFS', async () => {
    const place = { pool: 'tank', prefix: 'c', mountpoint: '/mnt/c' };
    const sick = await open([
      { when: 'zpool list -H -o name', out: 'tank\n' },
      { when: 'zpool list -H -o health tank', out: 'FAULTED\n' },
      { when: 'zfs list', out: 'tank\n' },
    ]);
    await expect(initZfs({ ...place, programs: sick.fake.programs })).rejects.toMatchObject({
      code: 'wrong_state',
    });
    const text =
      'The ZFS modules are not loaded.\nTry running modprobe zfs as root to load them.\n';
    const none = await open([{ when: 'zpool', err: text, code: 1 }]);
    const refused = initZfs({ ...place, programs: none.fake.programs });
    await expect(refused).rejects.toMatchObject({ code: 'prerequisite_missing' });
    await expect(refused).rejects.toThrow(/modules are not loaded/);
  });
});

describe('texts of zfs', () => {
  const said = (text: string): CoppiceError =>
    new CoppiceError({ code: 'command_failed', message: `zfs x ended with exit code 1:\n${text}` });
  for (const [text, refusal] of [
    ["cannot create snapshot 'X@a': dataset already exists", 'exists'],
    ["cannot create 'X': dataset already exists", 'exists'],
    ["cannot open 'X': dataset does not exist", 'missing'],
    ['could not find any snapshots to destroy; check snapshot names.', 'missing'],
    [
      "cannot destroy 'X@a': snapshot has dependent clones\nuse '-R' to destroy the following datasets:\nX",
      'has_clones',
    ],
    ["cannot destroy 'X': volume has children", 'has_children'],
    ["cannot destroy 'X': filesystem has children", 'has_children'],
    ["cannot destroy 'X': volume has dependent clones", 'has_clones'],
    ["cannot destroy 'X': dataset is busy", 'busy'],
    ['cannot destroy snapshot X@c: dataset is busy', 'busy'],
    ["cannot hold snapshot 'X': tag already exists on this dataset", 'tag_exists'],
    ["'refquota' does not apply to datasets of this type", 'other'],
    ["cannot rollback to 'X@b': more recent snapshots or bookmarks exist\nX@c", 'other'],
    ['bad option\nusage:\n\tdataset does not exist', 'other'],
  ] as const) {
    it(`${JSON.stringify(text)} is ${refusal}`, () => {
      expect(refusalOf(said(text))).toBe(refusal);
    });
  }
});
