/** Workspaces that are leased to the connection that made them. */
import { destroyWorkspace } from '../../workspaces/destroy.ts';
import type { WorkspaceServices } from '../../workspaces/services.ts';
import type { SessionHandle } from '../handlerTypes.ts';

/** Destroys a workspace when the connection ends, however it ends. */
export function destroyWith(services: WorkspaceServices, session: SessionHandle, id: string): void {
  session.onClose(() => {
    destroyWorkspace(services, id).catch((error: unknown) => {
      services.log.info({ workspace: id, err: error }, 'ephemeral machine not removed');
    });
  });
}
