/** Workspaces that are leased to the connection that made them. */
import { asCoppiceError } from '../../../protocol/errors.ts';
import { destroyWorkspace } from '../../workspaces/destroy.ts';
import type { WorkspaceServices } from '../../workspaces/services.ts';
import type { SessionHandle } from '../handlerTypes.ts';

/** Destroys a workspace when the connection ends, however it ends. */
export function destroyWith(services: WorkspaceServices, session: SessionHandle, id: string): void {
  session.onClose(() => {
    destroyWorkspace(services, id).catch((error: unknown) => {
      // Whoever made it may have destroyed it too.
      if (asCoppiceError(error).code === 'not_found') return;
      services.log.warn({ workspace: id, err: error }, 'ephemeral machine not removed');
    });
  });
}
