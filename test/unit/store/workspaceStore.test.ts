import { beforeEach, describe, expect, it } from 'vitest';
import {
  workspaceStore,
  type WorkspaceStore,
} from '../../../helper-daemon/store/workspaceStore.ts';
import { temporaryDatabase, workspaceRow } from './temporaryDatabase.ts';

const test = temporaryDatabase();
let store: WorkspaceStore;
beforeEach(() => {
  store = workspaceStore(test.db);
});

const forkedFrom = {
  source_workspace_id: '2',
  source_workspace_name: 'two',
  snapshot_id: 's',
  snapshot_name: 'snap',
  live: true,
  forked_at: '2026-01-01T00:00:00.000Z',
};

describe('workspaceStore', () => {
  it('returns what was stored, also after the file was opened again', () => {
    const plain = workspaceRow('1');
    const full = workspaceRow('2', {
      ephemeral: true,
      uid: 7,
      problem: 'broken',
      baseLayer: 'l',
      snapshotId: 's',
      forkedFrom,
      idleSuspendSecs: 5,
      expiresAt: '2026-01-02T00:00:00.000Z',
      memoryId: 'm',
      role: 'pool',
    });
    for (const record of [plain, full]) store.insert(record);
    test.reopen();
    const again = workspaceStore(test.db);
    expect(again.byName('name-1')).toEqual(plain);
    expect(again.byId('2')).toEqual(full);
  });

  it('refuses a name that is taken, at an insert and at an update', () => {
    store.insert(workspaceRow('1'));
    const twin = workspaceRow('2', { name: 'name-1' });
    expect(() => store.insert(twin)).toThrow(/already a workspace named name-1/);
    store.insert(workspaceRow('3'));
    expect(() => store.update('3', { name: 'name-1' })).toThrow(/already a workspace/);
    store.update('3', { name: 'name-3', state: 'stopped' });
    expect(store.byId('3')?.state).toBe('stopped');
  });

  it('shows callers only what they made', () => {
    store.insert(workspaceRow('1'));
    for (const [index, role] of (['pool', 'template', 'probe'] as const).entries()) {
      store.insert(workspaceRow(String(index + 2), { role }));
    }
    expect(store.visible().map(({ id }) => id)).toEqual(['1']);
    expect(store.all()).toHaveLength(4);
    expect(store.countOnImage('sha256:00')).toBe(1);
  });

  it('finds those whose time is limited, and those that came from a snapshot', () => {
    store.insert(workspaceRow('1'));
    store.insert(workspaceRow('2', { idleSuspendSecs: 5 }));
    store.insert(workspaceRow('3', { expiresAt: '2026-01-02T00:00:00.000Z', forkedFrom }));
    expect(store.withLifetime().map(({ id }) => id)).toEqual(['2', '3']);
    expect(store.forkedFromSnapshot('s').map(({ id }) => id)).toEqual(['3']);
    expect(store.forkedFromSnapshot('t')).toEqual([]);
  });
});
