import { readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  chooseStorage,
  openStorages,
  readStorageChoice,
} from '../../../helper-daemon/storage/select.ts';
import { zfsPrograms } from '../../../helper-daemon/storage/zfs/zfsCommand.ts';
import { temporaryState, type TemporaryState } from './temporaryState.ts';

describe('choosing a storage', () => {
  let home: TemporaryState;
  beforeEach(async () => {
    home = await temporaryState();
  });
  afterEach(async () => {
    await home.remove();
  });

  it('is qcow2 where nothing was said', async () => {
    const storages = await openStorages({ state: home.state, env: {} });
    expect(storages.chosen).toBe('qcow2');
    expect(await storages.get('qcow2')).toBe(await storages.get('qcow2'));
  });

  it('is what was chosen, unless the environment says otherwise', async () => {
    await chooseStorage(home.state, { backend: 'reflink' });
    expect((await openStorages({ state: home.state, env: {} })).chosen).toBe('reflink');
    const env = { COPPICE_STORAGE: 'qcow2' };
    expect((await openStorages({ state: home.state, env })).chosen).toBe('qcow2');
    expect((await readdir(home.state)).toSorted()).toEqual(['images', 'storage.json']);
  });

  it('keeps the pool in which workspaces may be', async () => {
    const zfs = { pool: 'tank', prefix: 'coppice' };
    await chooseStorage(home.state, { backend: 'zfs', zfs });
    await chooseStorage(home.state, { backend: 'qcow2' });
    expect(await readStorageChoice(home.state)).toEqual({ backend: 'qcow2', zfs });
    const other = { backend: 'zfs', zfs: { pool: 'lake', prefix: 'coppice' } } as const;
    await expect(chooseStorage(home.state, other)).rejects.toMatchObject({ code: 'wrong_state' });
  });

  it('refuses what it does not understand', async () => {
    const env = { COPPICE_STORAGE: 'floppy' };
    const invalid = { code: 'invalid_input' };
    await expect(openStorages({ state: home.state, env })).rejects.toMatchObject(invalid);
    for (const text of ['', '{', '{"backend":"floppy"}', '{"backend":"qcow2","more":1}']) {
      await writeFile(path.join(home.state, 'storage.json'), text);
      await expect(openStorages({ state: home.state, env: {} })).rejects.toMatchObject(invalid);
    }
  });

  it('says what is missing for ZFS, and tries again the next time', async () => {
    const missing = { code: 'prerequisite_missing' };
    const storages = await openStorages({ state: home.state, env: {} });
    await expect(storages.get('zfs')).rejects.toMatchObject(missing);
    const zfs = { pool: 'tank', prefix: 'coppice' };
    await chooseStorage(home.state, { backend: 'zfs', zfs });
    const programs = { ...zfsPrograms, zfs: path.join(home.state, 'no-such-zfs') };
    const other = await openStorages({ state: home.state, env: {}, programs });
    await expect(other.get('zfs')).rejects.toMatchObject(missing);
    await expect(other.get('zfs')).rejects.toMatchObject(missing);
  });
});
