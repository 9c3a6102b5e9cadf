/** From the name that was asked for to the machine that is prepared. */
import { CoppiceError } from '../../../protocol/errors.ts';
import type { WorkspaceRecord } from '../../store/workspaceStore.ts';
import { mayUse, type Caller } from '../../workspaces/callers.ts';
import type { PrepareHost, PrepareInput } from './host.ts';

/** `name`, `name-2` … `name-6`. */
const lastSuffix = 6;

export type Acquired =
  | { readonly kind: 'existing'; readonly record: WorkspaceRecord }
  /** Nobody has this name: the machine is to be made. */
  | { readonly kind: 'new'; readonly name: string };

/**
 * The caller's own machine of that name, or the one it had prepared under it before; else somebody else's whose
 * owner has left it; else a free name.
 * @throws CoppiceError `name_taken`, `quota_exceeded`
 */
export function acquire(
  host: PrepareHost,
  name: string,
  caller: Caller,
  /** Whether a machine of this name is about to be made. */
  isReserved: (name: string) => boolean,
): Acquired {
  const holder = host.named(name);
  if (holder !== undefined && isOwn(holder, caller)) return { kind: 'existing', record: holder };
  const before = preparedBefore(host, name, caller);
  if (before !== undefined) return { kind: 'existing', record: before };
  if (holder === undefined && !isReserved(name)) return { kind: 'new', name };
  const adopted = holder === undefined ? undefined : takeOver(host, holder, caller);
  if (adopted !== undefined) return { kind: 'existing', record: adopted };
  for (let suffix = 2; suffix <= lastSuffix; suffix += 1) {
    const other = `${name.slice(0, 126)}-${String(suffix)}`;
    const taken = host.named(other);
    if (taken === undefined && !isReserved(other)) return { kind: 'new', name: other };
    if (taken !== undefined && isOwn(taken, caller)) return { kind: 'existing', record: taken };
  }
  throw new CoppiceError({
    code: 'name_taken',
    message: `${name} and ${name}-2 to ${name}-${String(lastSuffix)} belong to others.`,
    next: 'Choose another name.',
    details: { name },
  });
}

function isOwn(record: WorkspaceRecord, caller: Caller): boolean {
  return record.role === 'user' && mayUse(caller, record.owner);
}

function preparedBefore(
  host: PrepareHost,
  name: string,
  caller: Caller,
): WorkspaceRecord | undefined {
  for (const { workspaceId } of host.rows.named(name)) {
    const record = workspaceId === null ? undefined : host.workspace(workspaceId);
    if (record !== undefined && isOwn(record, caller)) return record;
  }
  return undefined;
}

function takeOver(
  host: PrepareHost,
  holder: WorkspaceRecord,
  caller: Caller,
): WorkspaceRecord | undefined {
  if (holder.role !== 'user') return undefined;
  try {
    host.adopt(holder.id, caller);
    return host.workspace(holder.id);
  } catch (error) {
    if (error instanceof CoppiceError && error.code === 'not_owned') return undefined;
    throw error;
  }
}

/** A machine cannot change what it was made of. @throws CoppiceError `wrong_state` */
export function requireSameKind(record: WorkspaceRecord, input: PrepareInput): void {
  const differing = [
    ['base_image', input.base_image, record.imageName],
    ['vcpus', input.vcpus, record.vcpus],
    ['memory_mb', input.memory_mb, record.memoryMb],
    ['disk_gb', input.disk_gb, record.diskGb],
  ].filter(([, wanted, is]) => wanted !== undefined && wanted !== is);
  if (differing.length === 0) return;
  const list = differing
    .map(([field, wanted, is]) => `${String(field)} is ${String(is)}, not ${String(wanted)}`)
    .join('; ');
  throw new CoppiceError({
    code: 'wrong_state',
    message: `${record.name} exists and was made differently: ${list}.`,
    next: `Leave these out, choose another name, or destroy ${record.name} first (workspace_destroy).`,
    details: { workspace_id: record.id },
  });
}
