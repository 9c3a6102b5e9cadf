/** Rows of the tree: snapshots, the layers they name, the memory they keep. */
import { CoppiceError } from '../../protocol/errors.ts';
import type { Database } from './database.ts';

export interface LayerRecord {
  readonly id: string;
  readonly storage: 'qcow2' | 'zfs' | 'reflink';
  readonly locator: string;
  /** Layer it stands on; null: on the image itself. */
  readonly parentId: string | null;
  readonly imageDigest: string;
  readonly virtualBytes: number;
  /** As the storage gave it when the layer was frozen. */
  readonly stamp: string;
  readonly bytes: number;
  /** Null until it has been computed, and where the storage checks its bytes itself. */
  readonly sha256: string | null;
  readonly createdAt: string;
}

export interface MemoryRecord {
  readonly id: string;
  readonly binding: Readonly<Record<string, string>>;
  /** Of the machine the memory is of; everything that continues from it answers to this key. */
  readonly channelKey: string;
  readonly memoryMb: number;
  readonly sha256: string;
  readonly bytes: number;
  readonly createdAt: string;
}

export interface SnapshotRecord {
  readonly id: string;
  readonly workspaceId: string;
  readonly name: string;
  readonly description: string;
  readonly parentId: string | null;
  readonly layerId: string;
  readonly memoryId: string | null;
  readonly diskGb: number;
  readonly implicit: boolean;
  readonly createdAt: string;
}

export interface TreeStore {
  insertLayer(layer: LayerRecord): void;
  layer(id: string): LayerRecord | undefined;
  layers(): LayerRecord[];
  childrenOfLayer(id: string): LayerRecord[];
  updateLayer(
    id: string,
    change: Partial<Pick<LayerRecord, 'parentId' | 'stamp' | 'bytes' | 'sha256'>>,
  ): void;
  removeLayer(id: string): void;
  /** Layers that no snapshot, head, template or other layer needs. */
  unneededLayers(): LayerRecord[];
  /** Layers that only the one above needs: without a name, with exactly one user. */
  foldableLayers(): LayerRecord[];

  insertMemory(memory: MemoryRecord): void;
  memory(id: string): MemoryRecord | undefined;
  memories(): MemoryRecord[];
  removeMemory(id: string): void;
  /** Memory that no snapshot, template or suspended workspace needs. */
  unneededMemories(): MemoryRecord[];

  /** @throws CoppiceError `name_taken` */
  insertSnapshot(snapshot: SnapshotRecord): void;
  snapshot(id: string): SnapshotRecord | undefined;
  snapshotNamed(workspaceId: string, name: string): SnapshotRecord | undefined;
  /** Of one workspace, oldest first. */
  snapshotsOf(workspaceId: string): SnapshotRecord[];
  snapshots(): SnapshotRecord[];
  countSnapshots(workspaceId: string): number;
  /** @throws CoppiceError `name_taken` */
  updateSnapshot(
    id: string,
    change: Partial<Pick<SnapshotRecord, 'name' | 'description' | 'parentId'>>,
  ): void;
  /** Its children, and the position of its workspace, move up to its parent. */
  removeSnapshot(id: string): void;
}

type Row = Record<string, unknown>;

export function treeStore(db: Database): TreeStore {
  const insertLayer = db.prepare(
    `INSERT INTO layer (id, storage, locator, parent_id, image_digest, virtual_bytes, stamp, bytes,
       sha256, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const layer = db.prepare('SELECT * FROM layer WHERE id = ?');
  const layers = db.prepare('SELECT * FROM layer ORDER BY created_at, id');
  const layerChildren = db.prepare('SELECT * FROM layer WHERE parent_id = ?');
  const updateLayer = db.prepare(
    'UPDATE layer SET parent_id = ?, stamp = ?, bytes = ?, sha256 = ? WHERE id = ?',
  );
  const removeLayer = db.prepare('DELETE FROM layer WHERE id = ?');
  const named = `EXISTS (SELECT 1 FROM snapshot s WHERE s.layer_id = layer.id)
    OR EXISTS (SELECT 1 FROM template t WHERE t.layer_id = layer.id)`;
  const heads = '(SELECT count(*) FROM workspace w WHERE w.base_layer = layer.id)';
  const above = '(SELECT count(*) FROM layer c WHERE c.parent_id = layer.id)';
  const unneededLayers = db.prepare(
    `SELECT * FROM layer WHERE NOT (${named}) AND ${heads} + ${above} = 0`,
  );
  const foldableLayers = db.prepare(
    `SELECT * FROM layer WHERE NOT (${named}) AND ${heads} + ${above} = 1`,
  );
  const insertMemory = db.prepare(
    `INSERT INTO memory (id, binding, channel_key, memory_mb, sha256, bytes, created_at)
     VALUES (?, ?, ?, ?, ?, ?, ?)`,
  );
  const memory = db.prepare('SELECT * FROM memory WHERE id = ?');
  const memories = db.prepare('SELECT * FROM memory ORDER BY created_at, id');
  const removeMemory = db.prepare('DELETE FROM memory WHERE id = ?');
  const unneededMemories = db.prepare(
    `SELECT * FROM memory WHERE NOT EXISTS (SELECT 1 FROM snapshot s WHERE s.memory_id = memory.id)
       AND NOT EXISTS (SELECT 1 FROM template t WHERE t.memory_id = memory.id)
       AND NOT EXISTS (SELECT 1 FROM workspace w WHERE w.memory_id = memory.id)`,
  );
  const insertSnapshot = db.prepare(
    `INSERT INTO snapshot (id, workspace_id, name, description, parent_id, layer_id, memory_id, disk_gb,
       implicit, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const snapshot = db.prepare('SELECT * FROM snapshot WHERE id = ?');
  const snapshotNamed = db.prepare('SELECT * FROM snapshot WHERE workspace_id = ? AND name = ?');
  // rowid: snapshots of the same millisecond keep their order.
  const snapshotsOf = db.prepare('SELECT * FROM snapshot WHERE workspace_id = ? ORDER BY rowid');
  const snapshots = db.prepare('SELECT * FROM snapshot ORDER BY rowid');
  const countSnapshots = db.prepare('SELECT count(*) AS n FROM snapshot WHERE workspace_id = ?');
  const updateSnapshot = db.prepare(
    'UPDATE snapshot SET name = ?, description = ?, parent_id = ? WHERE id = ?',
  );
  const adopt = db.prepare('UPDATE snapshot SET parent_id = ? WHERE parent_id = ?');
  const moveUp = db.prepare('UPDATE workspace SET snapshot_id = ? WHERE snapshot_id = ?');
  const removeSnapshot = db.prepare('DELETE FROM snapshot WHERE id = ?');

  const requireFreeName = (workspaceId: string, name: string): void => {
    if (snapshotNamed.get(workspaceId, name) === undefined) return;
    throw new CoppiceError({
      code: 'name_taken',
      message: `The workspace has a snapshot named ${name} already.`,
      next: 'Choose another name, or rename or delete that one first.',
      details: { name },
    });
  };
  const maybe = <T>(row: Row | undefined, convert: (row: Row) => T): T | undefined =>
    row === undefined ? undefined : convert(row);

  return {
    insertLayer(record) {
      insertLayer.run(
        record.id,
        record.storage,
        record.locator,
        record.parentId,
        record.imageDigest,
        record.virtualBytes,
        record.stamp,
        record.bytes,
        record.sha256,
        record.createdAt,
      );
    },
    layer: (id) => maybe(layer.get(id), toLayer),
    layers: () => layers.all().map(toLayer),
    childrenOfLayer: (id) => layerChildren.all(id).map(toLayer),
    updateLayer(id, change) {
      const current = maybe(layer.get(id), toLayer);
      if (current === undefined) return;
      const next = { ...current, ...change };
      updateLayer.run(next.parentId, next.stamp, next.bytes, next.sha256, id);
    },
    removeLayer(id) {
      removeLayer.run(id);
    },
    unneededLayers: () => unneededLayers.all().map(toLayer),
    foldableLayers: () => foldableLayers.all().map(toLayer),

    insertMemory(record) {
      insertMemory.run(
        record.id,
        JSON.stringify(record.binding),
        record.channelKey,
        record.memoryMb,
        record.sha256,
        record.bytes,
        record.createdAt,
      );
    },
    memory: (id) => maybe(memory.get(id), toMemory),
    memories: () => memories.all().map(toMemory),
    removeMemory(id) {
      removeMemory.run(id);
    },
    unneededMemories: () => unneededMemories.all().map(toMemory),

    insertSnapshot(record) {
      requireFreeName(record.workspaceId, record.name);
      insertSnapshot.run(
        record.id,
        record.workspaceId,
        record.name,
        record.description,
        record.parentId,
        record.layerId,
        record.memoryId,
        record.diskGb,
        record.implicit ? 1 : 0,
        record.createdAt,
      );
    },
    snapshot: (id) => maybe(snapshot.get(id), toSnapshot),
    snapshotNamed: (workspaceId, name) => maybe(snapshotNamed.get(workspaceId, name), toSnapshot),
    snapshotsOf: (workspaceId) => snapshotsOf.all(workspaceId).map(toSnapshot),
    snapshots: () => snapshots.all().map(toSnapshot),
    countSnapshots: (workspaceId) => Number(countSnapshots.get(workspaceId)?.['n'] ?? 0),
    updateSnapshot(id, change) {
      const current = maybe(snapshot.get(id), toSnapshot);
      if (current === undefined) return;
      if (change.name !== undefined && change.name !== current.name) {
        requireFreeName(current.workspaceId, change.name);
      }
      const next = { ...current, ...change };
      updateSnapshot.run(next.name, next.description, next.parentId, id);
    },
    removeSnapshot(id) {
      const current = maybe(snapshot.get(id), toSnapshot);
      if (current === undefined) return;
      adopt.run(current.parentId, id);
      moveUp.run(current.parentId, id);
      removeSnapshot.run(id);
    },
  };
}

function text(value: unknown): string | null {
  return value as string | null;
}

function toLayer(row: Row): LayerRecord {
  return {
    id: String(row['id']),
    storage: row['storage'] as LayerRecord['storage'],
    locator: String(row['locator']),
    parentId: text(row['parent_id']),
    imageDigest: String(row['image_digest']),
    virtualBytes: Number(row['virtual_bytes']),
    stamp: String(row['stamp']),
    bytes: Number(row['bytes']),
    sha256: text(row['sha256']),
    createdAt: String(row['created_at']),
  };
}

function toMemory(row: Row): MemoryRecord {
  return {
    id: String(row['id']),
    binding: JSON.parse(String(row['binding'])) as Record<string, string>,
    channelKey: String(row['channel_key']),
    memoryMb: Number(row['memory_mb']),
    sha256: String(row['sha256']),
    bytes: Number(row['bytes']),
    createdAt: String(row['created_at']),
  };
}

function toSnapshot(row: Row): SnapshotRecord {
  return {
    id: String(row['id']),
    workspaceId: String(row['workspace_id']),
    name: String(row['name']),
    description: String(row['description']),
    parentId: text(row['parent_id']),
    layerId: String(row['layer_id']),
    memoryId: text(row['memory_id']),
    diskGb: Number(row['disk_gb']),
    implicit: row['implicit'] === 1,
    createdAt: String(row['created_at']),
  };
}
