import { randomUUID } from 'node:crypto';
import { CoppiceError } from '../../protocol/errors.ts';
import type { OutputOf, ParsedInputOf } from '../../protocol/operations.ts';
import type { SnapshotRecord } from '../store/treeStore.ts';
import type { WorkspaceRecord } from '../store/workspaceStore.ts';
import { accountOf } from '../workspaces/accounts.ts';
import { requireDisk, requireMemory } from '../workspaces/admission.ts';
import { bootMachine, type BootOptions } from '../workspaces/boot.ts';
import { usableBase } from '../workspaces/heads.ts';
import { collect } from '../workspaces/layerCare.ts';
import { releaseMachine } from '../workspaces/machineEnd.ts';
import { settleOpenFreeze } from '../workspaces/recoverFreeze.ts';
import { resolveWorkspace } from '../workspaces/resolve.ts';
import type { WorkspaceServices } from '../workspaces/services.ts';
import { changeState, summarize } from '../workspaces/view.ts';
import { requireContinuable } from './continuable.ts';
import { takeSnapshot } from './create.ts';
import { findSnapshot } from './find.ts';

/**
 * Puts a workspace on a snapshot: a new head over its layer, and a machine that continues from its memory or
 * boots. Everything that can be refused is refused before the machine is touched.
 * @throws CoppiceError see snapshot_restore in protocol/
 */
export async function restoreSnapshot(
  services: WorkspaceServices,
  input: ParsedInputOf<'snapshot_restore'>,
  options: BootOptions,
): Promise<OutputOf<'snapshot_restore'>> {
  const { id } = resolveWorkspace(services.store, input.workspace_id);
  return await services.locks.run(id, async () => {
    const workspace = await settleOpenFreeze(services, resolveWorkspace(services.store, id));
    const snapshot = findSnapshot(services, workspace, input.name);
    const memoryId = input.boot === true || input.leave_stopped === true ? null : snapshot.memoryId;
    if (memoryId !== null) await requireContinuable(services, workspace, snapshot.name, memoryId);
    await usableBase(services, workspace, snapshot.layerId);
    await requireDisk(services.paths.state);
    if (input.leave_stopped !== true && services.machines.get(id) === undefined) {
      requireMemory(services, workspace.memoryMb);
    }
    if (input.save_as !== undefined) await savePresent(services, workspace, input.save_as, options);
    await standOn(services, resolveWorkspace(services.store, id), snapshot, options);
    const resumed = memoryId !== null;
    if (input.leave_stopped !== true) await startThere(services, id, memoryId, options);
    return {
      ...summarize(services, resolveWorkspace(services.store, id)),
      snapshot_id: snapshot.id,
      snapshot_name: snapshot.name,
      resumed,
      saved_as: input.save_as ?? null,
    };
  });
}

async function savePresent(
  services: WorkspaceServices,
  workspace: WorkspaceRecord,
  name: string,
  options: BootOptions,
): Promise<void> {
  await takeSnapshot(
    services,
    workspace,
    { name, description: '', implicit: false, memory: 'none' },
    options.progress,
  );
}

/** Ends the machine and gives the workspace a head over the snapshot; it is stopped afterwards. */
async function standOn(
  services: WorkspaceServices,
  workspace: WorkspaceRecord,
  snapshot: SnapshotRecord,
  options: BootOptions,
): Promise<void> {
  const { id } = workspace;
  const storage = services.storages.named(workspace.storage);
  const headId = randomUUID();
  const entry = services.journal.begin('restore', id, { headId });
  try {
    options.progress('Preparing the disk');
    const head = await storage.createHead({
      id: headId,
      base: await usableBase(services, workspace, snapshot.layerId),
      sizeBytes: snapshot.diskGb * 1024 ** 3,
      owner: accountOf(workspace.uid),
    });
    const live = services.machines.get(id);
    if (live !== undefined) {
      changeState(services, id, { state: 'stopping' });
      await live.machine.powerOff();
      await releaseMachine(services, live, await live.machine.ended);
    }
    services.transaction(() => {
      changeState(services, id, {
        state: 'stopped',
        problem: null,
        head,
        baseLayer: snapshot.layerId,
        snapshotId: snapshot.id,
        diskGb: snapshot.diskGb,
        memoryId: null,
      });
    });
    await storage.deleteHead(workspace.head);
    await collect(services);
  } catch (error) {
    const now = resolveWorkspace(services.store, id);
    if (now.head === workspace.head) await storage.deleteHead(storage.headLocator(headId));
    if (now.state === 'stopping') {
      changeState(services, id, { state: 'stopped', problem: 'A restore of it failed.' });
    }
    throw error;
  } finally {
    services.journal.end(entry);
  }
}

async function startThere(
  services: WorkspaceServices,
  id: string,
  memoryId: string | null,
  options: BootOptions,
): Promise<void> {
  const entry = services.journal.begin('start', id);
  const workspace = resolveWorkspace(services.store, id);
  const starting = changeState(services, id, {
    state: 'starting',
    generation: workspace.generation + 1,
  });
  try {
    if (memoryId === null) await bootMachine(services, starting, options);
    else {
      await services.memories.use(memoryId, (from) =>
        bootMachine(services, starting, { ...options, from }),
      );
    }
    services.transaction(() => {
      services.journal.end(entry);
      changeState(services, id, { state: 'running' });
    });
  } catch (error) {
    services.transaction(() => {
      services.journal.end(entry);
      changeState(services, id, {
        state: 'stopped',
        problem: 'It was restored, but its machine did not start.',
      });
    });
    throw error instanceof CoppiceError
      ? new CoppiceError(
          {
            ...error.toBody(),
            message: `The disk is restored, but the machine did not start. ${error.message}`,
          },
          { cause: error },
        )
      : error;
  }
}
