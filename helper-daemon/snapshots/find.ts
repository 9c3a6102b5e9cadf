/** From what a caller wrote to the snapshot that is meant. */
import { CoppiceError } from '../../protocol/errors.ts';
import { isUuid } from '../../protocol/names.ts';
import type { SnapshotRecord } from '../store/treeStore.ts';
import type { WorkspaceRecord } from '../store/workspaceStore.ts';
import type { WorkspaceServices } from '../workspaces/services.ts';

/** What agents call the snapshot of a prepared machine, and what its name is. */
const prepared = { alias: 'prepared', name: 'golden' } as const;

/**
 * By id or name; `prepared` also means the golden snapshot where none has that name.
 * @throws CoppiceError `not_found` naming the snapshots there are
 */
export function findSnapshot(
  services: WorkspaceServices,
  workspace: WorkspaceRecord,
  reference: string,
): SnapshotRecord {
  const found = isUuid(reference)
    ? services.tree.snapshot(reference.toLowerCase())
    : (services.tree.snapshotNamed(workspace.id, reference) ??
      (reference === prepared.alias
        ? services.tree.snapshotNamed(workspace.id, prepared.name)
        : undefined));
  if (found?.workspaceId === workspace.id) return found;
  const names = services.tree.snapshotsOf(workspace.id).map(({ name }) => name);
  const shown = names.slice(-10).join(', ');
  throw new CoppiceError({
    code: 'not_found',
    message: `${workspace.name} has no snapshot ${reference}.`,
    next:
      names.length === 0
        ? `It has none yet: coppice snapshot create ${workspace.name}.`
        : `It has ${names.length > 10 ? 'among others ' : ''}${shown}.`,
    details: { workspace_id: workspace.id, name: reference },
  });
}
