/** A workspace as clients see it. */
import type { WorkspaceSummary } from '../../protocol/operations/workspaceModel.ts';
import type { WorkspaceChange, WorkspaceRecord } from '../store/workspaceStore.ts';
import { reachableAddress } from './network.ts';
import type { WorkspaceServices } from './services.ts';

export function summarize(services: WorkspaceServices, record: WorkspaceRecord): WorkspaceSummary {
  const snapshot =
    record.snapshotId === null ? undefined : services.tree.snapshot(record.snapshotId);
  return {
    workspace_id: record.id,
    name: record.name,
    state: record.state,
    ip: reachableAddress(services, record),
    base_image: record.imageName,
    resources: {
      vcpus: record.vcpus,
      memory_mb: record.memoryMb,
      disk_gb: record.diskGb,
    },
    created_at: record.createdAt,
    owner: record.owner,
    ephemeral: record.ephemeral,
    snapshot: snapshot?.name ?? null,
    forked_from: record.forkedFrom,
    expires_at: record.expiresAt,
    problem: record.problem,
  };
}

/** Stores a change of state and tells the clients. */
export function changeState(
  services: WorkspaceServices,
  id: string,
  change: WorkspaceChange,
): WorkspaceRecord {
  services.store.update(id, change);
  return announce(services, id);
}

export function announce(services: WorkspaceServices, id: string): WorkspaceRecord {
  const record = services.store.byId(id);
  if (record === undefined) throw new Error(`workspace ${id} has no row`);
  if (record.role === 'user') {
    services.publish({ type: 'workspace_changed', workspace: summarize(services, record) });
  }
  return record;
}
