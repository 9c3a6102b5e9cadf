import { CoppiceError } from '../../../protocol/errors.ts';
import type { WorkspaceServices } from '../../workspaces/services.ts';
import type { Handlers } from '../handlerTypes.ts';

type ArchiveHandlers = Pick<Handlers, 'workspace_export' | 'workspace_import'>;

export function archiveHandlers(services: WorkspaceServices): ArchiveHandlers {
  const missing = (): never => {
    throw new CoppiceError({ code: 'internal', message: `${services.paths.mode}: not there yet` });
  };
  return { workspace_export: missing, workspace_import: missing };
}
