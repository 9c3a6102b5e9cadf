import type { WorkspaceRecord, WorkspaceRole } from '../store/workspaceStore.ts';
import { removeWorkspaceDirectories, runReference } from './directories.ts';
import { collect } from './layerCare.ts';
import { dropForwards } from './portForwards.ts';
import { resolveWorkspace } from './resolve.ts';
import type { WorkspaceServices } from './services.ts';
import { changeState } from './view.ts';

/**
 * Ends the machine at once and deletes everything of the workspace: its disk, its snapshots. What machines
 * forked from it stand on stays until they go too.
 */
export async function destroyWorkspace(
  services: WorkspaceServices,
  reference: string,
  roles: readonly WorkspaceRole[] = ['user'],
): Promise<WorkspaceRecord> {
  const found = resolveWorkspace(services.store, reference, roles);
  const { id } = found;
  services.booting.get(id)?.abort();
  return await services.locks.run(id, async () => {
    const record = services.store.byId(id);
    // A create that was interrupted by this call has taken everything back itself.
    if (record === undefined) return found;
    const entry = services.journal.begin('destroy', id);
    changeState(services, id, { state: 'destroying' });
    await removeEverything(services, record, entry);
    return record;
  });
}

/** Also finishes what a daemon that died had begun. The caller holds the workspace's lock. */
export async function removeEverything(
  services: WorkspaceServices,
  record: WorkspaceRecord,
  entry: number,
): Promise<void> {
  const live = services.machines.get(record.id);
  services.machines.delete(record.id);
  live?.link.close();
  await live?.machine.powerOff();
  const run = services.runs.of(record.id);
  if (run !== undefined) {
    const reference = runReference(services.paths, run);
    await services.engine.reap(reference);
    await services.network.detach({ workspaceId: record.id, ...reference });
  }
  await removeWorkspaceDirectories(services.paths, record.id);
  const { head, storage } = services.store.byId(record.id) ?? record;
  await services.storages.named(storage).deleteHead(head);
  dropForwards(services, record.id);
  services.transaction(() => {
    services.store.remove(record.id);
    dropImplicitSnapshot(services, record);
    services.journal.end(entry);
  });
  await collect(services);
  if (record.role !== 'user') return;
  services.publish({ type: 'workspace_removed', workspace_id: record.id, name: record.name });
}

/** The snapshot a fork was made through goes with the last machine that came from it. */
function dropImplicitSnapshot(services: WorkspaceServices, { forkedFrom }: WorkspaceRecord): void {
  if (forkedFrom === null) return;
  const snapshot = services.tree.snapshot(forkedFrom.snapshot_id);
  if (snapshot?.implicit !== true) return;
  if (services.store.forkedFromSnapshot(snapshot.id).length > 0) return;
  services.tree.removeSnapshot(snapshot.id);
  services.publish({
    type: 'snapshot_removed',
    workspace_id: snapshot.workspaceId,
    snapshot_id: snapshot.id,
    name: snapshot.name,
  });
}
