/** From what a caller wrote to the workspace that is meant. */
import { isUuid } from '../../protocol/names.ts';
import { CoppiceError } from '../../protocol/errors.ts';
import type { WorkspaceRecord, WorkspaceRole, WorkspaceStore } from '../store/workspaceStore.ts';

/** Fewer characters of an id are too likely to be meant as something else. */
const shortestPrefix = 8;

/**
 * A reference is an id, the name of a workspace, or, where no workspace has that name, a member of a team
 * (`team.member` or `team-member`) or the beginning of an id.
 * @throws CoppiceError `not_found`; `invalid_input` when it can be more than one
 */
export function resolveWorkspace(
  store: WorkspaceStore,
  reference: string,
  roles: readonly WorkspaceRole[] = ['user'],
): WorkspaceRecord {
  const record = isUuid(reference)
    ? store.byId(reference.toLowerCase())
    : (store.byName(reference) ?? memberNamed(store, reference) ?? begins(store, reference));
  if (record !== undefined && roles.includes(record.role)) return record;
  throw new CoppiceError({
    code: 'not_found',
    message: `There is no workspace ${reference}.`,
    next: 'List what there is with coppice list (workspace_list).',
    details: { workspace_id: reference },
  });
}

function memberNamed(store: WorkspaceStore, reference: string): WorkspaceRecord | undefined {
  const [found, other] = store.byMember(reference);
  if (other === undefined) return found;
  // The "-" may be a part of either name.
  throw new CoppiceError({
    code: 'invalid_input',
    message: `${reference} is a member of more than one team.`,
    next: 'Write team.member, or the id of the workspace.',
    details: { workspace_id: reference },
  });
}

function begins(store: WorkspaceStore, reference: string): WorkspaceRecord | undefined {
  if (reference.length < shortestPrefix || !/^[0-9a-f-]+$/i.test(reference)) return undefined;
  const [found, other] = store.byIdPrefix(reference.toLowerCase());
  return other === undefined ? found : undefined;
}
