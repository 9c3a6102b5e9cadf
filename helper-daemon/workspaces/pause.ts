/** Stopping time in a machine and letting it go on. */
import { CoppiceError } from '../../protocol/errors.ts';
import type { WorkspaceRecord } from '../store/workspaceStore.ts';
import type { BootOptions } from './boot.ts';
import { resolveWorkspace } from './resolve.ts';
import type { WorkspaceServices } from './services.ts';
import { holdWorkload } from './standstill.ts';
import { resumeSuspended } from './suspend.ts';
import { changeState } from './view.ts';

/** @throws CoppiceError `wrong_state`, `guest_unreachable` */
export async function pauseWorkspace(
  services: WorkspaceServices,
  reference: string,
): Promise<WorkspaceRecord> {
  const { id } = resolveWorkspace(services.store, reference);
  return await services.locks.run(id, async () => {
    const record = resolveWorkspace(services.store, id);
    if (record.state === 'paused') return record;
    const live = services.machines.require(record);
    const entry = services.journal.begin('pause', id);
    // Held first: a copy made of a paused machine must not run on before it knows who it is.
    const standstill = await holdWorkload(live.link).catch((error: unknown) => {
      services.journal.end(entry);
      throw error;
    });
    try {
      await live.machine.pause();
    } catch (error) {
      await standstill.end().catch(() => undefined);
      services.journal.end(entry);
      throw error;
    }
    live.link.reset('the machine was paused');
    return services.transaction(() => {
      services.journal.end(entry);
      return changeState(services, id, { state: 'paused' });
    });
  });
}

/** Also continues a suspended one; one that runs is released, should it have been left held. */
export async function resumeWorkspace(
  services: WorkspaceServices,
  reference: string,
  options: BootOptions,
): Promise<WorkspaceRecord> {
  const { id } = resolveWorkspace(services.store, reference);
  return await services.locks.run(id, async () => {
    const record = resolveWorkspace(services.store, id);
    if (record.state === 'suspended') return await resumeSuspended(services, record, options);
    const live = services.machines.get(id);
    if (live === undefined || (record.state !== 'paused' && record.state !== 'running')) {
      throw new CoppiceError({
        code: 'wrong_state',
        message: `Workspace ${record.name} is neither paused nor suspended (state: ${record.state}).`,
        next:
          record.state === 'stopped'
            ? `Start it with coppice start ${record.name}.`
            : 'Wait until it has settled, then try again.',
        details: { state: record.state },
      });
    }
    const entry = services.journal.begin('resume', id);
    try {
      await live.machine.resume();
      const { system } = await live.link.clients();
      // The clock stood still too.
      await system.configure({ realtimeNs: BigInt(Date.now()) * 1_000_000n, release: true });
      return services.transaction(() => changeState(services, id, { state: 'running' }));
    } finally {
      services.journal.end(entry);
    }
  });
}
