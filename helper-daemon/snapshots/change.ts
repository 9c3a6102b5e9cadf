/** Deleting and renaming snapshots. */
import { CoppiceError } from '../../protocol/errors.ts';
import type { OutputOf, ParsedInputOf } from '../../protocol/operations.ts';
import type { SnapshotInfo } from '../../protocol/operations/snapshotModel.ts';
import { collect } from '../workspaces/layerCare.ts';
import { resolveWorkspace } from '../workspaces/resolve.ts';
import type { WorkspaceServices } from '../workspaces/services.ts';
import { announce } from '../workspaces/view.ts';
import { findSnapshot } from './find.ts';
import { announceSnapshot, describeSnapshot } from './view.ts';

/**
 * The name goes at once; the bytes as soon as nothing above needs them.
 * @throws CoppiceError `not_found`, `has_dependents` naming the machines
 */
export async function deleteSnapshot(
  services: WorkspaceServices,
  input: ParsedInputOf<'snapshot_delete'>,
): Promise<OutputOf<'snapshot_delete'>> {
  const { id } = resolveWorkspace(services.store, input.workspace_id);
  return await services.locks.run(id, async () => {
    const workspace = resolveWorkspace(services.store, id);
    const snapshot = findSnapshot(services, workspace, input.name);
    const children = services.tree
      .snapshotsOf(id)
      .filter(({ parentId }) => parentId === snapshot.id);
    services.transaction(() => {
      requireIndependent(services, snapshot.id, snapshot.name);
      services.tree.removeSnapshot(snapshot.id);
    });
    await collect(services);
    services.publish({
      type: 'snapshot_removed',
      workspace_id: id,
      snapshot_id: snapshot.id,
      name: snapshot.name,
    });
    for (const child of children) announceSnapshot(services, child.id);
    if (workspace.snapshotId === snapshot.id) announce(services, id);
    return { workspace_id: id, snapshot_id: snapshot.id, name: snapshot.name };
  });
}

function requireIndependent(services: WorkspaceServices, id: string, name: string): void {
  const dependents = services.store.forkedFromSnapshot(id);
  if (dependents.length === 0) return;
  const names = dependents.map((workspace) => workspace.name);
  throw new CoppiceError({
    code: 'has_dependents',
    message: `Snapshot ${name} cannot be deleted: ${names.join(', ')} ${names.length === 1 ? 'was' : 'were'} forked from it.`,
    next: `Destroy ${names.length === 1 ? 'that machine' : 'those machines'} first (coppice destroy ${names[0] ?? ''}), or keep the snapshot.`,
    details: { dependents: names },
  });
}

/** @throws CoppiceError `not_found`, `name_taken` */
export async function renameSnapshot(
  services: WorkspaceServices,
  input: ParsedInputOf<'snapshot_rename'>,
): Promise<SnapshotInfo> {
  const { id } = resolveWorkspace(services.store, input.workspace_id);
  return await services.locks.run(id, async () => {
    const workspace = resolveWorkspace(services.store, id);
    const snapshot = findSnapshot(services, workspace, input.name);
    services.tree.updateSnapshot(snapshot.id, {
      ...(input.new_name === undefined ? {} : { name: input.new_name }),
      ...(input.description === undefined ? {} : { description: input.description }),
    });
    announceSnapshot(services, snapshot.id);
    if (workspace.snapshotId === snapshot.id) announce(services, id);
    const changed = services.tree.snapshot(snapshot.id) ?? snapshot;
    return await describeSnapshot(services, changed);
  });
}
