import { toCoppiceError } from '../../guest/errors.ts';
import type { GuestClients } from '../../guest/guestLink.ts';
import { deleteSnapshot, renameSnapshot } from '../../snapshots/change.ts';
import { createSnapshot } from '../../snapshots/create.ts';
import { diffSnapshots } from '../../snapshots/diff.ts';
import { findSnapshot } from '../../snapshots/find.ts';
import { forkWorkspace } from '../../snapshots/fork.ts';
import type { Probes } from '../../snapshots/probes.ts';
import { restoreSnapshot } from '../../snapshots/restore.ts';
import { describeSnapshot, describeTree } from '../../snapshots/view.ts';
import { callerKey } from '../../workspaces/callers.ts';
import type { LayerCare } from '../../workspaces/layerCare.ts';
import { resolveWorkspace } from '../../workspaces/resolve.ts';
import type { WorkspaceServices } from '../../workspaces/services.ts';
import type { Handlers, SessionHandle } from '../handlerTypes.ts';
import { destroyWith } from './ephemeral.ts';
import { openDownload } from './fileDownload.ts';
import { fileEntry } from './fileEntry.ts';
import { pathBytes } from './guestCall.ts';

type SnapshotHandlers = Pick<
  Handlers,
  | 'snapshot_create'
  | 'snapshot_list'
  | 'snapshot_info'
  | 'snapshot_restore'
  | 'snapshot_delete'
  | 'snapshot_rename'
  | 'snapshot_diff'
  | 'snapshot_file_list'
  | 'snapshot_file_download'
  | 'workspace_fork'
>;

export function snapshotHandlers(
  services: WorkspaceServices,
  { probes, layerCare }: { readonly probes: Probes; readonly layerCare: LayerCare },
): SnapshotHandlers {
  /** What a change of the tree leaves to tidy up is done when things are quiet. */
  async function thenTidy<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } finally {
      layerCare.soon();
    }
  }

  async function lookAt<T>(
    input: { readonly workspace_id: string; readonly name: string },
    work: (clients: GuestClients) => Promise<T>,
  ): Promise<T> {
    const workspace = resolveWorkspace(services.store, input.workspace_id);
    const { layerId } = findSnapshot(services, workspace, input.name);
    try {
      return await probes.use(workspace, layerId, work);
    } catch (error) {
      throw toCoppiceError(error);
    }
  }

  return {
    snapshot_create: (input, { progress }) => thenTidy(createSnapshot(services, input, progress)),
    snapshot_list: ({ workspace_id }) => describeTree(services, workspace_id),
    async snapshot_info({ workspace_id, name }) {
      const workspace = resolveWorkspace(services.store, workspace_id);
      return describeSnapshot(services, findSnapshot(services, workspace, name));
    },
    snapshot_restore: (input, { signal, progress }) =>
      thenTidy(restoreSnapshot(services, input, { signal, progress })),
    snapshot_delete: (input) => thenTidy(deleteSnapshot(services, input)),
    snapshot_rename: (input) => renameSnapshot(services, input),
    snapshot_diff: (input, { signal, progress }) =>
      thenTidy(diffSnapshots(services, probes, input, { signal, progress })),
    snapshot_file_list: (input, { signal }) =>
      lookAt(input, async ({ file }) => {
        const entries = [];
        for await (const batch of file.list({ path: pathBytes(input.path) }, { signal })) {
          for (const info of batch.entries) entries.push(fileEntry(info));
        }
        return entries;
      }),
    async snapshot_file_download(input, { session }) {
      const opened =
        Promise.withResolvers<Awaited<ReturnType<Handlers['snapshot_file_download']>>>();
      // The machine that looks is kept until the stream has ended.
      lookAt(input, ({ file }) => streamFile(file, input.path, session, opened.resolve)).catch(
        opened.reject,
      );
      return await opened.promise;
    },
    workspace_fork: (input, { signal, progress, session, caller }) =>
      thenTidy(
        forkWorkspace(services, input, {
          signal,
          progress,
          owner: callerKey(caller),
          made: ({ id, ephemeral }) => {
            if (ephemeral) destroyWith(services, session, id);
          },
        }),
      ),
  };
}

/** Resolves when the stream has ended. */
async function streamFile(
  file: GuestClients['file'],
  path: string,
  session: SessionHandle,
  opened: (reply: Awaited<ReturnType<Handlers['snapshot_file_download']>>) => void,
): Promise<void> {
  const download = await openDownload(file, { path });
  await new Promise<void>((ended) => {
    const ticket = session.openStream(
      (socket) => {
        socket.once('close', () => ended());
        download.stream(socket);
      },
      () => {
        download.abandon();
        ended();
      },
    );
    opened({ ticket, ...download.facts });
  });
}
