/** Writing a machine's memory to disk and ending its process; and reading it back. */
import { randomUUID } from 'node:crypto';
import type { WorkspaceRecord } from '../store/workspaceStore.ts';
import { requireDisk, requireMemory } from './admission.ts';
import {
  abandonMachine,
  makeItself,
  startMonitor,
  watch,
  type BootOptions,
  type LaunchOptions,
} from './boot.ts';
import { requireRun } from './freeze.ts';
import { requireCurrentGuest } from './guestVersions.ts';
import { usableBase } from './heads.ts';
import { collect } from './layerCare.ts';
import { releaseMachine } from './machineEnd.ts';
import { resolveWorkspace } from './resolve.ts';
import type { WorkspaceServices } from './services.ts';
import { holdWorkload } from './standstill.ts';
import { changeState } from './view.ts';

/** @throws CoppiceError `wrong_state`, `guest_unreachable`, `no_space` */
export async function suspendWorkspace(
  services: WorkspaceServices,
  reference: string,
  options: { readonly stillWanted?: (record: WorkspaceRecord) => boolean } = {},
): Promise<WorkspaceRecord> {
  const { id } = resolveWorkspace(services.store, reference);
  return await services.locks.run(id, async () => {
    const record = resolveWorkspace(services.store, id);
    if (record.state === 'suspended' || options.stillWanted?.(record) === false) return record;
    const paused = record.state === 'paused';
    const live = paused ? services.machines.get(id) : services.machines.require(record);
    if (live === undefined) throw new Error(`paused workspace ${id} has no machine`);
    const run = requireRun(services, record);
    await requireCurrentGuest(services, record, run.guest);
    const memoryId = randomUUID();
    await requireDisk(services.paths.state);
    const entry = services.journal.begin('suspend', id, { memoryId });
    const standstill = { end: (): Promise<void> => Promise.resolve() };
    try {
      const { memory } = await live.machine.capture({
        memory: { id: memoryId },
        stayPaused: true,
        beforePause: async () => {
          if (!paused) standstill.end = (await holdWorkload(live.link)).end;
        },
      });
      if (memory === undefined) throw new Error('a capture without memory');
      const stored = await services.memories
        .save({ image: memory, channelKey: run.channelKey, guest: run.guest })
        .finally(() => memory.release());
      services.transaction(() => {
        services.tree.insertMemory(stored);
        services.store.update(id, { memoryId, state: 'suspended', problem: null });
      });
    } catch (error) {
      if (!paused) {
        await live.machine.resume().catch(() => undefined);
        await standstill.end().catch(() => undefined);
      }
      services.journal.end(entry);
      throw error;
    }
    await live.machine.powerOff();
    await releaseMachine(services, live, await live.machine.ended);
    services.journal.end(entry);
    return changeState(services, id, { state: 'suspended' });
  });
}

/**
 * Continues a suspended workspace; the caller holds its lock. From the moment the guest runs its disk moves on
 * and the memory is of no use any more: it is given up first.
 * @throws CoppiceError `no_memory`, `snapshot_incompatible`, `memory_missing`, `memory_corrupt`, `boot_failed`
 */
export async function resumeSuspended(
  services: WorkspaceServices,
  record: WorkspaceRecord,
  options: BootOptions,
): Promise<WorkspaceRecord> {
  const { id, memoryId } = record;
  if (memoryId === null) throw new Error(`suspended workspace ${id} has no memory`);
  await usableBase(services, record, record.baseLayer);
  requireMemory(services, record.memoryMb);
  const entry = services.journal.begin('resume', id, { memoryId });
  try {
    const launch: LaunchOptions & { paused: true } = { ...options, as: 'self', paused: true };
    const woken: WorkspaceRecord = { ...record, generation: record.generation + 1 };
    const live = await services.memories.use(memoryId, (from) =>
      startMonitor(services, woken, { ...launch, from }),
    );
    changeState(services, id, {
      state: 'starting',
      memoryId: null,
      generation: woken.generation,
      problem: null,
    });
    try {
      await live.machine.resume();
      await makeItself(services, woken, live, launch);
    } catch (error) {
      await abandonMachine(services, live);
      changeState(services, id, {
        state: 'stopped',
        problem: 'It could not go on after its suspend; its disk is as after a power cut.',
      });
      throw error;
    }
    watch(services, live);
    await collect(services);
    return changeState(services, id, { state: 'running' });
  } finally {
    services.journal.end(entry);
  }
}
