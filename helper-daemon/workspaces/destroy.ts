import type { WorkspaceRecord } from '../store/workspaceStore.ts';
import { removeWorkspaceDirectories, runReference } from './directories.ts';
import { resolveWorkspace } from './resolve.ts';
import type { WorkspaceServices } from './services.ts';
import { changeState } from './view.ts';

/** Ends the machine at once and deletes everything of the workspace. */
export async function destroyWorkspace(
  services: WorkspaceServices,
  reference: string,
): Promise<WorkspaceRecord> {
  const found = resolveWorkspace(services.store, reference);
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
  const run = services.store.runOf(record.id);
  if (run !== undefined) await services.engine.reap(runReference(services.paths, run));
  await removeWorkspaceDirectories(services.paths, record.id);
  services.transaction(() => {
    services.store.remove(record.id);
    services.journal.end(entry);
  });
  services.publish({ type: 'workspace_removed', workspace_id: record.id, name: record.name });
}
