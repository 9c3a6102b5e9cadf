import { setTimeout as delay } from 'node:timers/promises';
import { CoppiceError } from '../../protocol/errors.ts';
import type { MachineEnd } from '../engine/machine.ts';
import type { WorkspaceRecord } from '../store/workspaceStore.ts';
import { collect } from './layerCare.ts';
import type { LiveMachine } from './liveMachines.ts';
import { releaseMachine } from './machineEnd.ts';
import { resolveWorkspace } from './resolve.ts';
import type { WorkspaceServices } from './services.ts';
import { changeState } from './view.ts';

/** Processes in the guest get this long between SIGTERM and SIGKILL. */
const graceMs = 3000;
/** A guest that has not gone by then is switched off. */
const shutdownMs = 15_000;

/**
 * Shuts a workspace down; one that is stopped already is left as it is.
 * @throws CoppiceError `wrong_state`, with `strict` also when it is stopped
 */
export async function stopWorkspace(
  services: WorkspaceServices,
  reference: string,
  options: { readonly force: boolean; readonly strict?: boolean },
): Promise<WorkspaceRecord> {
  const { id } = resolveWorkspace(services.store, reference);
  return await services.locks.run(id, async () => {
    const record = resolveWorkspace(services.store, id);
    if (record.state === 'stopped') {
      if (options.strict === true) throw alreadySo(record, 'not running');
      return record;
    }
    if (record.state === 'suspended') return await giveUpMemory(services, record);
    const live = services.machines.get(id);
    if (live === undefined) {
      throw new CoppiceError({
        code: 'wrong_state',
        message: `Workspace ${record.name} cannot be stopped (state: ${record.state}).`,
        next: 'Wait until it has settled, then try again.',
        details: { state: record.state },
      });
    }
    const entry = services.journal.begin('stop', id);
    changeState(services, id, { state: 'stopping' });
    const end = await endMachine(live, options.force);
    await releaseMachine(services, live, end);
    return services.transaction(() => {
      services.journal.end(entry);
      return changeState(services, id, { state: 'stopped', problem: null });
    });
  });
}

/** For callers who must know that it was they who changed something. */
export function alreadySo(record: WorkspaceRecord, what: string): CoppiceError {
  return new CoppiceError({
    code: 'wrong_state',
    message: `Workspace ${record.name} is ${what} (state: ${record.state}).`,
    next: 'Nothing needs to be done.',
    details: { state: record.state },
  });
}

/** Its disk stays, as after a power cut. */
async function giveUpMemory(
  services: WorkspaceServices,
  record: WorkspaceRecord,
): Promise<WorkspaceRecord> {
  const stopped = changeState(services, record.id, { state: 'stopped', memoryId: null });
  await collect(services);
  return stopped;
}

/** Ends a machine, gently unless `force`; it is gone when this returns. */
async function endMachine(live: LiveMachine, force: boolean): Promise<MachineEnd> {
  const gone = live.machine.ended;
  if (!force) {
    // A paused guest cannot shut down.
    await live.machine.resume();
    const asked = await askToShutDown(live);
    if (asked) await Promise.race([gone, delay(shutdownMs, undefined, { ref: false })]);
  }
  await live.machine.powerOff();
  return await gone;
}

async function askToShutDown(live: LiveMachine): Promise<boolean> {
  try {
    const { system } = await live.link.clients();
    await system.shutdown({ graceMs }, { timeoutMs: 2000 });
    return true;
  } catch {
    // A guest that does not answer is switched off.
    return false;
  }
}
