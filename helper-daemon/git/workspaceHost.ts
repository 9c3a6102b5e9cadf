/** The machine of a workspace as a place of repositories. */
import { awake } from '../workspaces/awake.ts';
import { resolveWorkspace } from '../workspaces/resolve.ts';
import type { WorkspaceServices } from '../workspaces/services.ts';
import { guestHost } from './guestHost.ts';
import type { GitHost } from './host.ts';

/**
 * A suspended machine goes on first. `signal` ends what is not durable.
 * @throws CoppiceError `not_found`, `wrong_state`
 */
export async function workspaceHost(
  services: WorkspaceServices,
  reference: string,
  signal: AbortSignal,
): Promise<GitHost> {
  const { name } = resolveWorkspace(services.store, reference);
  const live = await awake(services, reference);
  return guestHost({ name, clients: () => live.link.clients(), signal });
}
