/** From a reference to the guest's services, with the errors of the guest made ours. */

import { toCoppiceError } from '../../guest/errors.ts';
import type { CallOptions } from '../../guest/grpc.ts';
import type { GuestClients } from '../../guest/guestLink.ts';
import { resolveWorkspace } from '../../workspaces/resolve.ts';
import type { WorkspaceServices } from '../../workspaces/services.ts';

/**
 * Runs one call against the guest of a running workspace.
 * @throws CoppiceError `not_found`, `wrong_state`, `guest_unreachable`, and what the guest says
 */
export async function callGuest<T>(
  services: WorkspaceServices,
  reference: string,
  signal: AbortSignal,
  call: (clients: GuestClients, options: CallOptions) => Promise<T>,
): Promise<T> {
  const clients = await guestClients(services, reference);
  try {
    return await call(clients, { signal });
  } catch (error) {
    throw toCoppiceError(error);
  }
}

export async function guestClients(
  services: WorkspaceServices,
  reference: string,
): Promise<GuestClients> {
  const record = resolveWorkspace(services.store, reference);
  return await services.machines.require(record).link.clients();
}

export function pathBytes(path: string): Uint8Array {
  return Buffer.from(path, 'utf8');
}
