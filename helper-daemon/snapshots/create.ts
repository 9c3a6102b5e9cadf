import { randomUUID } from 'node:crypto';
import { CoppiceError } from '../../protocol/errors.ts';
import { limits } from '../../protocol/limits.ts';
import type { OutputOf, ParsedInputOf } from '../../protocol/operations.ts';
import type { SnapshotRecord } from '../store/treeStore.ts';
import type { WorkspaceRecord } from '../store/workspaceStore.ts';
import { freezeWorkspace, type FreezeOptions, type Frozen } from '../workspaces/freeze.ts';
import { settleOpenFreeze } from '../workspaces/recoverFreeze.ts';
import { resolveWorkspace } from '../workspaces/resolve.ts';
import type { WorkspaceServices } from '../workspaces/services.ts';
import { announce } from '../workspaces/view.ts';
import { announceSnapshot, describeSnapshot } from './view.ts';

export interface SnapshotDraft {
  readonly name: string;
  readonly description: string;
  readonly implicit: boolean;
  readonly memory: FreezeOptions['memory'];
}

/** @throws CoppiceError see snapshot_create in protocol/ */
export async function createSnapshot(
  services: WorkspaceServices,
  input: ParsedInputOf<'snapshot_create'>,
  progress: (message: string) => void,
): Promise<OutputOf<'snapshot_create'>> {
  const { id } = resolveWorkspace(services.store, input.workspace_id);
  return await services.locks.run(id, async () => {
    const workspace = resolveWorkspace(services.store, id);
    const { snapshot, frozen } = await takeSnapshot(
      services,
      workspace,
      {
        name: input.name ?? timeStamp(services.now()),
        description: input.description ?? '',
        implicit: false,
        memory: input.include_memory === true ? 'file' : 'none',
      },
      progress,
    );
    return {
      ...(await describeSnapshot(services, snapshot)),
      pause_ms: frozen.pauseMs,
      consistency: frozen.consistency,
    };
  });
}

/** The caller holds the workspace's lock. */
export async function takeSnapshot(
  services: WorkspaceServices,
  unsettled: WorkspaceRecord,
  draft: SnapshotDraft,
  progress: (message: string) => void,
): Promise<{ readonly snapshot: SnapshotRecord; readonly frozen: Frozen }> {
  const workspace = await settleOpenFreeze(services, unsettled);
  requireSettled(workspace, draft.memory !== 'none');
  requireRoom(services, workspace, draft.name);
  let snapshot: SnapshotRecord | undefined;
  progress('Freezing the state');
  const frozen = await freezeWorkspace(services, workspace, {
    memory: workspace.state === 'suspended' ? 'none' : draft.memory,
    progress,
    publish: ({ layer, memoryRecord }) => {
      snapshot = {
        id: randomUUID(),
        workspaceId: workspace.id,
        name: draft.name,
        description: draft.description,
        parentId: workspace.snapshotId,
        layerId: layer.id,
        // The memory of a suspended workspace belongs to this very disk.
        memoryId:
          memoryRecord?.id ??
          (workspace.state === 'suspended' && draft.memory !== 'none' ? workspace.memoryId : null),
        diskGb: workspace.diskGb,
        implicit: draft.implicit,
        createdAt: services.now().toISOString(),
      };
      services.tree.insertSnapshot(snapshot);
      services.store.update(workspace.id, { snapshotId: snapshot.id });
    },
  });
  if (snapshot === undefined) throw new Error('the snapshot was not stored');
  announceSnapshot(services, snapshot.id);
  announce(services, workspace.id);
  return { snapshot, frozen };
}

function requireSettled({ name, state }: WorkspaceRecord, withMemory: boolean): void {
  const settled = ['running', 'paused', 'stopped', 'suspended'];
  if (!settled.includes(state)) {
    throw new CoppiceError({
      code: 'wrong_state',
      message: `${name} cannot be frozen now (state: ${state}).`,
      next: 'Wait until it has settled, then try again.',
      details: { state },
    });
  }
  if (withMemory && state === 'stopped') {
    throw new CoppiceError({
      code: 'wrong_state',
      message: `${name} is stopped: it has no memory to keep.`,
      next: `Leave out include_memory, or start it first: coppice start ${name}.`,
      details: { state },
    });
  }
}

function requireRoom(services: WorkspaceServices, workspace: WorkspaceRecord, name: string): void {
  if (services.tree.snapshotNamed(workspace.id, name) !== undefined) {
    throw new CoppiceError({
      code: 'name_taken',
      message: `${workspace.name} has a snapshot named ${name} already.`,
      next: 'Choose another name, or rename or delete that one first.',
      details: { name },
    });
  }
  if (services.tree.countSnapshots(workspace.id) < limits.snapshots.max) return;
  throw new CoppiceError({
    code: 'limit_exceeded',
    message: `${workspace.name} has ${String(limits.snapshots.max)} snapshots, the most there can be.`,
    next: `Delete some that are not needed: coppice snapshot list ${workspace.name}.`,
  });
}

/** Sorts by time and says it: 20261120-143015.123. */
export function timeStamp(now: Date): string {
  return now
    .toISOString()
    .replaceAll('-', '')
    .replaceAll(':', '')
    .replace('T', '-')
    .replace('Z', '');
}
