import { CoppiceError } from '../../../protocol/errors.ts';
import { prepareExport } from '../../snapshots/archive/exportArchive.ts';
import { importArchive } from '../../snapshots/archive/importArchive.ts';
import { callerKey } from '../../workspaces/callers.ts';
import type { LayerCare } from '../../workspaces/layerCare.ts';
import type { WorkspaceServices } from '../../workspaces/services.ts';
import type { Handlers } from '../handlerTypes.ts';
import { serveDownload, serveUpload } from '../streams/transferStream.ts';

type ArchiveHandlers = Pick<Handlers, 'workspace_export' | 'workspace_import'>;

export function archiveHandlers(
  services: WorkspaceServices,
  layerCare: Pick<LayerCare, 'soon'>,
): ArchiveHandlers {
  return {
    async workspace_export(input, { session, signal, progress }) {
      try {
        const prepared = await prepareExport(services, input, { signal, progress });
        const abort = new AbortController();
        const ticket = session.openStream(
          serveDownload(prepared.bytes(abort.signal), abort),
          () => void prepared.release(),
        );
        return { ticket, file_name: prepared.fileName };
      } finally {
        // The present state was frozen into a layer that no snapshot names.
        layerCare.soon();
      }
    },
    workspace_import({ name }, { session, caller }) {
      if (name !== undefined && services.store.byName(name) !== undefined) {
        throw new CoppiceError({
          code: 'name_taken',
          message: `There is already a workspace named ${name}.`,
          next: 'Choose another name.',
          details: { name },
        });
      }
      const stream = serveUpload((chunks, signal) =>
        importArchive(services, { name, owner: callerKey(caller) }, chunks, signal),
      );
      return Promise.resolve({ ticket: session.openStream(stream, () => undefined) });
    },
  };
}
