/** Whose a workspace is: who may use it, and how it changes hands. */
import { asCoppiceError, CoppiceError } from '../../protocol/errors.ts';
import type { OutputOf } from '../../protocol/operations.ts';
import type { WorkspaceRecord } from '../store/workspaceStore.ts';
import { callerKey, callerOf, mayUse, type Caller } from './callers.ts';
import { resolveWorkspace } from './resolve.ts';
import type { WorkspaceServices } from './services.ts';
import { changeState, summarize } from './view.ts';

/** An agent that has called within this time is at work, and nobody takes its machines. */
const adoptAfterIdleMs = 60_000;

/** When each caller was last heard of. Of those before this daemon nothing is known: they are idle. */
export interface CallerActivity {
  heard(caller: Caller): void;
  /** Milliseconds. */
  idle(owner: string): number;
}

export function callerActivity(now: () => number = () => performance.now()): CallerActivity {
  const last = new Map<string, number>();
  return {
    heard(caller) {
      last.set(callerKey(caller), now());
    },
    idle(owner) {
      const at = last.get(owner);
      return at === undefined ? Number.POSITIVE_INFINITY : now() - at;
    },
  };
}

/** @throws CoppiceError `not_found`, `not_owned` */
export function requireOwned(
  services: WorkspaceServices,
  caller: Caller,
  reference: string,
): WorkspaceRecord {
  const record = resolveWorkspace(services.store, reference);
  if (mayUse(caller, record.owner)) return record;
  throw notOwned(record, reference, 'Take it over first');
}

/**
 * Makes a workspace the caller's. One that is its own already stays as it is.
 * @returns whether it was taken from another
 * @throws CoppiceError `not_owned` when its agent is at work, belongs to another account, or `force` is missing;
 * `quota_exceeded`
 */
export function adopt(
  services: WorkspaceServices,
  caller: Caller,
  id: string,
  force: boolean,
): { readonly record: WorkspaceRecord; readonly forced: boolean } {
  const owner = callerKey(caller);
  return services.transaction(() => {
    const record = resolveWorkspace(services.store, id);
    if (record.owner === owner) return { record, forced: false };
    if (record.owner !== null) requireTakeable(services, caller, record, force);
    services.quotas.require({ ...record, owner }, 1, 'adopted');
    return {
      record: changeState(services, record.id, { owner }),
      forced: record.owner !== null,
    };
  });
}

export function adoptWorkspaces(
  services: WorkspaceServices,
  caller: Caller,
  input: { readonly workspace_id?: string | undefined; readonly force?: boolean | undefined },
): OutputOf<'workspace_adopt'> {
  const force = input.force ?? false;
  const adopted: OutputOf<'workspace_adopt'>['adopted'] = [];
  const errors: OutputOf<'workspace_adopt'>['errors'] = [];
  const take = (id: string): void => {
    const { record, forced } = adopt(services, caller, id, force);
    const { workspace_id, name, state, ip } = summarize(services, record);
    adopted.push({ workspace_id, name, state, ip, forced });
  };
  if (input.workspace_id !== undefined) {
    take(resolveWorkspace(services.store, input.workspace_id).id);
    return { adopted, errors };
  }
  const owner = callerKey(caller);
  for (const record of services.store.visible()) {
    if (record.owner === owner || (record.owner !== null && !force)) continue;
    try {
      take(record.id);
    } catch (error) {
      errors.push({ workspace_id: record.id, error: asCoppiceError(error).message });
    }
  }
  return { adopted, errors };
}

function requireTakeable(
  services: WorkspaceServices,
  caller: Caller,
  record: WorkspaceRecord,
  force: boolean,
): void {
  const holder = callerOf(record.owner ?? '');
  if (caller.uid !== 0 && holder.uid !== caller.uid) {
    throw notOwned(record, record.name, undefined);
  }
  // The person may take what any of their agents holds.
  if (caller.agent === null) return;
  if (!force) throw notOwned(record, record.name, 'It belongs to another');
  const idle = services.callers.idle(record.owner ?? '');
  if (idle >= adoptAfterIdleMs) return;
  throw new CoppiceError({
    code: 'not_owned',
    message: `Workspace ${record.name} is not owned by this session: ${describeOwner(record)} called ${String(Math.round(idle / 1000))} s ago and is at work.`,
    next: 'Work in another workspace, or try again when its owner has been idle for 60 s.',
    details: { workspace_id: record.id, owner: record.owner, idle_ms: Math.round(idle) },
  });
}

function notOwned(
  record: WorkspaceRecord,
  reference: string,
  why: string | undefined,
): CoppiceError {
  return new CoppiceError({
    code: 'not_owned',
    message: `Workspace ${reference} is not owned by this session; it belongs to ${describeOwner(record)}.`,
    next:
      why === undefined
        ? 'It belongs to another account of this host; only that account can use it.'
        : `${why}: workspace_adopt(workspace_id="${reference}"${record.owner === null ? '' : ', force=true'}).`,
    details: { workspace_id: record.id, owner: record.owner },
  });
}

function describeOwner({ owner }: WorkspaceRecord): string {
  if (owner === null) return 'nobody';
  const { uid, agent } = callerOf(owner);
  return agent === null ? `the person with uid ${String(uid)}` : `the agent ${agent}`;
}
