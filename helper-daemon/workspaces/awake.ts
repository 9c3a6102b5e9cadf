/** A running machine for whoever wants to use one: a suspended workspace goes on by itself. */
import type { LiveMachine } from './liveMachines.ts';
import { resumeWorkspace } from './pause.ts';
import { resolveWorkspace } from './resolve.ts';
import type { WorkspaceServices } from './services.ts';

/** @throws CoppiceError `not_found`, `wrong_state`, and what resuming throws */
export async function awake(services: WorkspaceServices, reference: string): Promise<LiveMachine> {
  const record = resolveWorkspace(services.store, reference);
  if (record.state === 'suspended') {
    await resumeWorkspace(services, record.id, {
      signal: new AbortController().signal,
      progress: () => undefined,
    });
  }
  return services.machines.require(resolveWorkspace(services.store, record.id));
}
