/** Snapshots as clients see them. */
import type { OutputOf } from '../../protocol/operations.ts';
import type { SnapshotInfo } from '../../protocol/operations/snapshotModel.ts';
import type { LayerRecord, SnapshotRecord } from '../store/treeStore.ts';
import { chainOf } from '../workspaces/heads.ts';
import { headBytes } from '../workspaces/inspect.ts';
import { resolveWorkspace } from '../workspaces/resolve.ts';
import type { WorkspaceServices } from '../workspaces/services.ts';

export async function describeSnapshot(
  services: WorkspaceServices,
  record: SnapshotRecord,
): Promise<SnapshotInfo> {
  const { tree, store } = services;
  const workspace = store.byId(record.workspaceId);
  const chain = chainOf(services, record.layerId);
  const memoryBytes = record.memoryId === null ? 0 : (tree.memory(record.memoryId)?.bytes ?? 0);
  const { own, total } = await layerBytes(services, chain);
  const image = workspace === undefined ? 0 : services.images.fileBytes(workspace.imageDigest);
  return {
    snapshot_id: record.id,
    name: record.name,
    workspace_id: record.workspaceId,
    description: record.description,
    parent: record.parentId,
    current: workspace?.snapshotId === record.id,
    has_memory: record.memoryId !== null,
    implicit: record.implicit,
    created_at: record.createdAt,
    used_bytes: own + memoryBytes,
    total_bytes: total + memoryBytes + image,
    dependents: store
      .forkedFromSnapshot(record.id)
      .map(({ id, name }) => ({ workspace_id: id, name })),
  };
}

export async function describeTree(
  services: WorkspaceServices,
  reference: string,
): Promise<OutputOf<'snapshot_list'>> {
  const workspace = resolveWorkspace(services.store, reference);
  const records = services.tree.snapshotsOf(workspace.id);
  return {
    workspace_id: workspace.id,
    name: workspace.name,
    current: workspace.snapshotId,
    forked_from: workspace.forkedFrom,
    head_bytes: await headBytes(services, workspace).catch(() => 0),
    snapshots: await Promise.all(records.map((record) => describeSnapshot(services, record))),
  };
}

/** What the topmost layer takes alone, and all of them together. */
async function layerBytes(
  services: WorkspaceServices,
  chain: readonly LayerRecord[],
): Promise<{ own: number; total: number }> {
  const [layer] = chain;
  if (layer === undefined) return { own: 0, total: 0 };
  const storage = services.storages.named(layer.storage);
  if (storage.chains !== undefined) {
    return { own: layer.bytes, total: chain.reduce((sum, { bytes }) => sum + bytes, 0) };
  }
  // A layer of these is a whole disk that shares most of its blocks.
  return { own: await storage.usedBytes(layer.locator).catch(() => 0), total: layer.bytes };
}

export function announceSnapshot(services: WorkspaceServices, id: string): void {
  const record = services.tree.snapshot(id);
  if (record === undefined) return;
  describeSnapshot(services, record).then(
    (snapshot) => services.publish({ type: 'snapshot_changed', snapshot }),
    (error: unknown) => services.log.warn({ snapshot: id, err: error }, 'snapshot not announced'),
  );
}
