/** From what a caller wrote to the workspace that is meant. */
import { isUuid } from '../../protocol/names.ts';
import { CoppiceError } from '../../protocol/errors.ts';
import type { WorkspaceRecord, WorkspaceRole, WorkspaceStore } from '../store/workspaceStore.ts';

/** @throws CoppiceError `not_found` */
export function resolveWorkspace(
  store: WorkspaceStore,
  reference: string,
  roles: readonly WorkspaceRole[] = ['user'],
): WorkspaceRecord {
  const record = isUuid(reference) ? store.byId(reference.toLowerCase()) : store.byName(reference);
  if (record !== undefined && roles.includes(record.role)) return record;
  throw new CoppiceError({
    code: 'not_found',
    message: `There is no workspace ${reference}.`,
    next: 'List what there is with coppice list (workspace_list).',
    details: { workspace_id: reference },
  });
}
