/** From a reference to the guest's services, with the errors of the guest made ours. */

import { toCoppiceError } from '../../guest/errors.ts';
import type { CallOptions } from '../../guest/grpc.ts';
import type { GuestClients } from '../../guest/guestLink.ts';
import { awake } from '../../workspaces/awake.ts';
import type { WorkspaceServices } from '../../workspaces/services.ts';
import type { SessionHandle } from '../handlerTypes.ts';
import type { StreamHandler } from '../tickets.ts';

/**
 * Runs one call against the guest of a workspace; a suspended one goes on first.
 * @throws CoppiceError `not_found`, `wrong_state`, `guest_unreachable`, and what the guest says
 */
export async function callGuest<T>(
  services: WorkspaceServices,
  reference: string,
  signal: AbortSignal,
  call: (clients: GuestClients, options: CallOptions) => Promise<T>,
): Promise<T> {
  const live = await awake(services, reference);
  const end = services.activity.begin(live.workspaceId);
  try {
    const clients = await live.link.clients();
    return await call(clients, { signal });
  } catch (error) {
    throw toCoppiceError(error);
  } finally {
    end();
  }
}

export interface GuestStreams {
  readonly clients: GuestClients;
  /** Issues the ticket of a byte stream; the workspace counts as used until it ends. */
  open(handler: StreamHandler, expired?: () => void): string;
}

/** For calls that answer with a byte stream. @throws as callGuest */
export async function guestStreams(
  services: WorkspaceServices,
  reference: string,
  session: SessionHandle,
): Promise<GuestStreams> {
  const live = await awake(services, reference);
  return {
    clients: await live.link.clients(),
    open(handler, expired = () => undefined) {
      const end = services.activity.begin(live.workspaceId);
      return session.openStream(
        (socket) => {
          socket.once('close', end);
          handler(socket);
        },
        () => {
          end();
          expired();
        },
      );
    },
  };
}

export function pathBytes(path: string): Uint8Array {
  return Buffer.from(path, 'utf8');
}
