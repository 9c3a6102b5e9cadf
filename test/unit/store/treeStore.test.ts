import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { templateStore } from '../../../helper-daemon/store/templateStore.ts';
import { treeStore, type TreeStore } from '../../../helper-daemon/store/treeStore.ts';
import { workspaceStore } from '../../../helper-daemon/store/workspaceStore.ts';
import {
  layerRow,
  memoryRow,
  snapshotRow,
  temporaryDatabase,
  workspaceRow,
} from './temporaryDatabase.ts';

const test = temporaryDatabase();
let tree: TreeStore;
beforeEach(() => {
  tree = treeStore(test.db);
  workspaceStore(test.db).insert(workspaceRow('1'));
});

const ids = (records: readonly { readonly id: string }[]): string[] => records.map(({ id }) => id);

describe('treeStore', () => {
  it('returns what was stored, also after the file was opened again', () => {
    const layer = { ...layerRow('l'), sha256: 'aa' };
    const memory = memoryRow('m');
    const snapshot = snapshotRow('s', 'l', { memoryId: 'm', implicit: true, description: 'd' });
    tree.insertLayer(layer);
    tree.insertMemory(memory);
    tree.insertSnapshot(snapshot);
    test.reopen();
    const again = treeStore(test.db);
    expect([again.layer('l'), again.memory('m'), again.snapshot('s')]).toEqual([
      layer,
      memory,
      snapshot,
    ]);
    expect(again.snapshotNamed('1', 'snap-s')).toEqual(snapshot);
  });

  it('keeps names of snapshots unique within a workspace, not between two', () => {
    workspaceStore(test.db).insert(workspaceRow('2'));
    tree.insertLayer(layerRow('l'));
    tree.insertSnapshot(snapshotRow('s', 'l'));
    const twin = snapshotRow('t', 'l', { name: 'snap-s' });
    expect(() => tree.insertSnapshot(twin)).toThrow(/has a snapshot named snap-s already/);
    tree.insertSnapshot({ ...twin, workspaceId: '2' });
    tree.insertSnapshot(snapshotRow('u', 'l'));
    expect(() => tree.updateSnapshot('u', { name: 'snap-s' })).toThrow(/already/);
    expect(tree.countSnapshots('1')).toBe(2);
  });

  it('moves children, and the position of the workspace, up to the parent of what is removed', () => {
    tree.insertLayer(layerRow('l'));
    tree.insertSnapshot(snapshotRow('a', 'l'));
    tree.insertSnapshot(snapshotRow('b', 'l', { parentId: 'a' }));
    for (const id of ['c', 'd']) tree.insertSnapshot(snapshotRow(id, 'l', { parentId: 'b' }));
    workspaceStore(test.db).update('1', { snapshotId: 'b' });
    tree.removeSnapshot('b');
    expect(tree.snapshotsOf('1').map(({ id, parentId }) => [id, parentId])).toEqual([
      ['a', null],
      ['c', 'a'],
      ['d', 'a'],
    ]);
    expect(workspaceStore(test.db).byId('1')?.snapshotId).toBe('a');
    tree.removeSnapshot('a');
    expect(workspaceStore(test.db).byId('1')?.snapshotId).toBeNull();
  });

  it('goes with its workspace, whatever the order of its snapshots', () => {
    tree.insertLayer(layerRow('l'));
    tree.insertSnapshot(snapshotRow('a', 'l'));
    tree.insertSnapshot(snapshotRow('b', 'l', { parentId: 'a' }));
    tree.updateSnapshot('a', { name: 'other' });
    workspaceStore(test.db).remove('1');
    expect(tree.snapshots()).toEqual([]);
    expect(ids(tree.unneededLayers())).toEqual(['l']);
  });

  it('knows which layers nobody needs, and which only one above needs', () => {
    // image ← a ← b ← c ← head; a ← d (named); e: alone; f: of a template; g ← two heads
    for (const [id, parent] of [
      ['a', null],
      ['b', 'a'],
      ['c', 'b'],
      ['d', 'a'],
      ['e', null],
      ['f', null],
      ['g', null],
    ] as const) {
      tree.insertLayer(layerRow(id, parent));
    }
    const workspaces = workspaceStore(test.db);
    workspaces.update('1', { baseLayer: 'c' });
    for (const id of ['2', '3']) workspaces.insert(workspaceRow(id, { baseLayer: 'g' }));
    tree.insertSnapshot(snapshotRow('s', 'd'));
    tree.insertMemory(memoryRow('m'));
    templateStore(test.db).put({
      id: 't',
      key: 'k',
      imageName: 'i',
      imageDigest: 'sha256:00',
      vcpus: 1,
      memoryMb: 256,
      diskGb: 10,
      layerId: 'f',
      memoryId: 'm',
      createdAt: 'now',
    });
    expect(ids(tree.unneededLayers())).toEqual(['e']);
    expect(ids(tree.foldableLayers())).toEqual(['b', 'c']);
    tree.updateLayer('c', { parentId: 'a' });
    expect(ids(tree.unneededLayers())).toEqual(['b', 'e']);
  });

  it('knows which memory nobody needs', () => {
    for (const id of ['kept', 'suspended', 'loose']) tree.insertMemory(memoryRow(id));
    tree.insertLayer(layerRow('l'));
    tree.insertSnapshot(snapshotRow('s', 'l', { memoryId: 'kept' }));
    workspaceStore(test.db).update('1', { memoryId: 'suspended' });
    expect(ids(tree.unneededMemories())).toEqual(['loose']);
    tree.removeSnapshot('s');
    workspaceStore(test.db).update('1', { memoryId: null });
    expect(ids(tree.unneededMemories()).sort()).toEqual(['kept', 'loose', 'suspended']);
  });

  it('stays a tree whatever is removed: nobody loses an ancestor that is left', () => {
    const shape = fc.array(fc.nat(30), { minLength: 1, maxLength: 15 });
    let run = 1;
    fc.assert(
      fc.property(shape, fc.array(fc.nat(14)), (parents, removals) => {
        run += 1;
        const workspaceId = String(run);
        workspaceStore(test.db).insert(workspaceRow(workspaceId));
        const layer = `l${workspaceId}`;
        tree.insertLayer(layerRow(layer));
        const idOf = (index: number): string => `${workspaceId}-${String(index)}`;
        const parentOf = parents.map((pick, index) =>
          index === 0 ? null : pick % (index + 1) === index ? null : pick % (index + 1),
        );
        parentOf.forEach((parent, index) => {
          const parentId = parent === null ? null : idOf(parent);
          tree.insertSnapshot(snapshotRow(idOf(index), layer, { workspaceId, parentId }));
        });
        const gone = new Set(removals.filter((index) => index < parents.length));
        for (const index of gone) tree.removeSnapshot(idOf(index));
        const expected = parentOf.flatMap((parent, index) => {
          if (gone.has(index)) return [];
          let above = parent;
          while (above !== null && gone.has(above)) above = parentOf[above] ?? null;
          return [[idOf(index), above === null ? null : idOf(above)]];
        });
        expect(tree.snapshotsOf(workspaceId).map(({ id, parentId }) => [id, parentId])).toEqual(
          expected,
        );
      }),
      { numRuns: 100 },
    );
  });
});
