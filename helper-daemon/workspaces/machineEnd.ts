/** What happens when a machine has gone, whoever ended it. */
import type { MachineEnd } from '../engine/machine.ts';
import { keepLogs, runDirectory } from './directories.ts';
import type { LiveMachine } from './liveMachines.ts';
import type { WorkspaceServices } from './services.ts';
import { changeState } from './view.ts';

/** Reacts to an end nobody here asked for: a guest that shut itself down, a crash, a kill. */
export async function handleMachineEnd(
  services: WorkspaceServices,
  live: LiveMachine,
  end: MachineEnd,
): Promise<void> {
  await services.locks.run(live.workspaceId, async () => {
    if (services.machines.get(live.workspaceId)?.runId !== live.runId) return;
    services.log.warn({ workspace: live.workspaceId, end: end.reason }, 'machine ended by itself');
    await releaseMachine(services, live, end);
    changeState(services, live.workspaceId, {
      state: 'stopped',
      problem: end.reason === 'shutdown' ? null : `Its machine ended: ${end.detail}.`,
    });
  });
}

/** Lets go of everything a machine that has ended held. The caller holds the workspace's lock. */
export async function releaseMachine(
  services: WorkspaceServices,
  live: LiveMachine,
  end: MachineEnd,
): Promise<void> {
  live.link.close();
  services.machines.delete(live.workspaceId);
  await keepLogs(services.paths, live.workspaceId, {
    console: end.consoleTail,
    stderr: end.stderrTail,
  }).catch((error: unknown) => {
    services.log.warn({ workspace: live.workspaceId, err: error }, 'console not kept');
  });
  await services.engine.reap({
    runId: live.runId,
    runDir: runDirectory(services.paths, live.runId),
    identity: live.machine.identity,
  });
  services.runs.remove(live.workspaceId);
}
