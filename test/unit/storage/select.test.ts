import { mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readStorageChoice, writeStorageChoice } from '../../../helper-daemon/storage/choice.ts';
import { openStorages } from '../../../helper-daemon/storage/select.ts';
import { fakePrograms } from './fakePrograms.ts';
import { temporaryState, type TemporaryState } from './temporaryState.ts';

describe('choosing a storage', () => {
  let home: TemporaryState;
  beforeEach(async () => {
    home = await temporaryState();
  });
  afterEach(async () => {
    await home.remove();
  });

  const open = (env: NodeJS.ProcessEnv = {}): ReturnType<typeof openStorages> =>
    openStorages({ state: home.state, env });
  const zfs = { pool: 'tank', prefix: 'coppice' };

  it('is qcow2 where nothing was said', async () => {
    const storages = await open();
    expect(storages.default().name).toBe('qcow2');
    expect(storages.default()).toBe(storages.named('qcow2'));
    expect(storages.inUse()).toEqual([storages.default()]);
  });

  it('is what was chosen, unless the environment says otherwise', async () => {
    await writeStorageChoice(home.state, { backend: 'zfs', zfs });
    const storages = await open();
    expect(() => storages.default()).toThrow(
      expect.objectContaining({ code: 'prerequisite_missing' }),
    );
    expect((await open({ COPPICE_STORAGE: 'qcow2' })).default().name).toBe('qcow2');
    expect((await readdir(home.state)).toSorted()).toEqual(['images', 'storage.json']);
  });

  it('keeps the pool in which disks may be', async () => {
    await writeStorageChoice(home.state, { backend: 'zfs', zfs });
    await writeStorageChoice(home.state, { backend: 'qcow2' });
    expect(await readStorageChoice(home.state)).toEqual({ backend: 'qcow2', zfs });
    const other = { backend: 'zfs', zfs: { pool: 'lake', prefix: 'coppice' } } as const;
    await expect(writeStorageChoice(home.state, other)).rejects.toMatchObject({
      code: 'wrong_state',
    });
  });

  it('refuses what it does not understand', async () => {
    const invalid = { code: 'invalid_input' };
    await expect(open({ COPPICE_STORAGE: 'floppy' })).rejects.toMatchObject(invalid);
    for (const text of ['', '{', '{"backend":"floppy"}', '{"backend":"qcow2","more":1}']) {
      await writeFile(path.join(home.state, 'storage.json'), text);
      await expect(open()).rejects.toMatchObject(invalid);
    }
  });

  it('opens a pool that was not there at first as soon as it is', async () => {
    await writeStorageChoice(home.state, { backend: 'zfs', zfs });
    const root = 'tank/coppice';
    const directory = path.join(home.state, 'programs');
    await mkdir(directory);
    const gone = { code: 1, err: `cannot open '${root}': dataset does not exist\n` };
    const { programs } = await fakePrograms(directory, [
      { when: 'zfs get', ...gone, times: 2 },
      { when: 'zfs get', out: `${root}\tcoppice:mode\tzvol\n${root}\tcoppice:dialect\topenzfs\n` },
    ]);
    const storages = await openStorages({ state: home.state, env: {}, programs });
    expect(storages.inUse().map(({ name }) => name)).toEqual(['qcow2']);
    expect(() => storages.named('zfs')).toThrow(/not imported/);
    const isThere = (): string => {
      try {
        return storages.named('zfs').location;
      } catch {
        return 'not yet';
      }
    };
    await expect.poll(isThere, { timeout: 10_000 }).toBe(root);
    expect(storages.default().name).toBe('zfs');
  });

  it('by init needs no pool where files do, and says what it did', async () => {
    const storages = await open();
    const said: string[] = [];
    const outcome = await storages.init({ backend: 'qcow2' }, (step) => said.push(step));
    expect(outcome).toMatchObject({ backend: 'qcow2', location: path.join(home.state, 'disks') });
    expect(outcome.steps).toEqual(said);
    const invalid = { code: 'invalid_input' };
    const init = (input: Parameters<typeof storages.init>[0]): Promise<unknown> =>
      storages.init(input, () => undefined);
    await expect(init({ backend: 'zfs' })).rejects.toMatchObject(invalid);
    await expect(init({ backend: 'qcow2', pool: 'tank' })).rejects.toMatchObject(invalid);
    expect(await readStorageChoice(home.state)).toEqual({ backend: 'qcow2' });
  });
});
