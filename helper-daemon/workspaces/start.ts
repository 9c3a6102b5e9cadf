import { CoppiceError } from '../../protocol/errors.ts';
import type { WorkspaceRecord } from '../store/workspaceStore.ts';
import { requireDisk, requireMemory } from './admission.ts';
import { bootMachine, type BootOptions } from './boot.ts';
import { usableBase } from './heads.ts';
import { resumeSuspended } from './suspend.ts';
import { settleOpenFreeze } from './recoverFreeze.ts';
import { resolveWorkspace } from './resolve.ts';
import type { WorkspaceServices } from './services.ts';
import { alreadySo } from './stop.ts';
import { changeState } from './view.ts';

/**
 * Boots a stopped workspace; one that runs already is left as it is.
 * @throws CoppiceError `wrong_state`, with `strict` also when it runs; what bootMachine throws
 */
export async function startWorkspace(
  services: WorkspaceServices,
  reference: string,
  options: BootOptions & { readonly strict?: boolean },
): Promise<WorkspaceRecord> {
  const { id } = resolveWorkspace(services.store, reference);
  return await services.locks.run(id, async () => {
    const record = await settleOpenFreeze(services, resolveWorkspace(services.store, id));
    if (record.state === 'running') {
      if (options.strict === true) throw alreadySo(record, 'already running');
      return record;
    }
    if (record.state === 'suspended') return await resumeSuspended(services, record, options);
    if (record.state !== 'stopped') {
      throw new CoppiceError({
        code: 'wrong_state',
        message: `Workspace ${record.name} cannot be started (state: ${record.state}).`,
        next: 'Wait until it has settled, then try again.',
        details: { state: record.state },
      });
    }
    await usableBase(services, record, record.baseLayer);
    requireMemory(services, record.memoryMb);
    await requireDisk(services.paths.workspaces);
    const entry = services.journal.begin('start', id);
    const starting = changeState(services, id, {
      state: 'starting',
      problem: null,
      generation: record.generation + 1,
    });
    try {
      await bootMachine(services, starting, options);
      return services.transaction(() => {
        services.journal.end(entry);
        return changeState(services, id, { state: 'running' });
      });
    } catch (error) {
      services.transaction(() => {
        services.journal.end(entry);
        changeState(services, id, { state: 'stopped', problem: 'Its last start failed.' });
      });
      throw error;
    }
  });
}
