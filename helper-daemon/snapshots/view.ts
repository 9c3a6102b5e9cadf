/** Snapshots as clients see them. */
import type { OutputOf } from '../../protocol/operations.ts';
import type { SnapshotInfo } from '../../protocol/operations/snapshotModel.ts';
import type { SnapshotRecord } from '../store/treeStore.ts';
import { chainOf } from '../workspaces/heads.ts';
import { headBytes } from '../workspaces/inspect.ts';
import { resolveWorkspace } from '../workspaces/resolve.ts';
import type { WorkspaceServices } from '../workspaces/services.ts';

export function describeSnapshot(
  services: WorkspaceServices,
  record: SnapshotRecord,
): SnapshotInfo {
  const { tree, store } = services;
  const workspace = store.byId(record.workspaceId);
  const chain = chainOf(services, record.layerId);
  const memoryBytes = record.memoryId === null ? 0 : (tree.memory(record.memoryId)?.bytes ?? 0);
  // A layer that several snapshots name (nothing changed between them) is nobody's own.
  const own = chain[0]?.bytes ?? 0;
  const layers = chain.reduce((sum, { bytes }) => sum + bytes, 0);
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
    total_bytes: layers + memoryBytes + image,
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
    snapshots: records.map((record) => describeSnapshot(services, record)),
  };
}

export function announceSnapshot(services: WorkspaceServices, id: string): void {
  const record = services.tree.snapshot(id);
  if (record === undefined) return;
  services.publish({ type: 'snapshot_changed', snapshot: describeSnapshot(services, record) });
}
