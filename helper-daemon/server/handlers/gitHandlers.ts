import { CoppiceError } from '../../../protocol/errors.ts';
import { cloneRepository } from '../../git/clone.ts';
import { commitChanges } from '../../git/commit.ts';
import { showDiff } from '../../git/diff.ts';
import type { GitHost } from '../../git/host.ts';
import type { Merges, RollbackSnapshots } from '../../git/merge/merges.ts';
import { pushBranch } from '../../git/push.ts';
import type { Reach } from '../../git/remoteFailure.ts';
import { repositoryStatus } from '../../git/status.ts';
import { workspaceHost } from '../../git/workspaceHost.ts';
import { deleteSnapshot } from '../../snapshots/change.ts';
import { createSnapshot } from '../../snapshots/create.ts';
import type { LayerCare } from '../../workspaces/layerCare.ts';
import { resolveWorkspace } from '../../workspaces/resolve.ts';
import type { WorkspaceServices } from '../../workspaces/services.ts';
import type { Handlers } from '../handlerTypes.ts';

type GitHandlers = Pick<
  Handlers,
  'git_clone' | 'git_status' | 'git_commit' | 'git_push' | 'git_diff' | 'workspace_merge'
>;

export function gitHandlers(services: WorkspaceServices, merges: Merges): GitHandlers {
  async function inMachine<T>(
    reference: string,
    signal: AbortSignal,
    work: (host: GitHost, reach: Reach) => Promise<T>,
  ): Promise<T> {
    const { id, name, network } = resolveWorkspace(services.store, reference);
    const end = services.activity.begin(id);
    try {
      const host = await workspaceHost(services, id, signal);
      return await work(host, { workspace: name, internet: network.internet });
    } finally {
      end();
    }
  }

  return {
    git_clone: (input, { signal }) =>
      inMachine(input.workspace_id, signal, (host, reach) => cloneRepository(host, input, reach)),
    git_status: (input, { signal }) =>
      inMachine(input.workspace_id, signal, (host) => repositoryStatus(host, input.path)),
    git_commit: (input, { signal }) =>
      inMachine(input.workspace_id, signal, (host) => commitChanges(host, input)),
    git_push: (input, { signal }) =>
      inMachine(input.workspace_id, signal, (host, reach) => pushBranch(host, input, reach)),
    git_diff: (input, { signal }) =>
      inMachine(input.workspace_id, signal, (host) => showDiff(host, input)),
    workspace_merge: (input, { signal, progress }) => merges.run(input, { signal, progress }),
  };
}

/** Snapshots that merges take of their targets. */
export function rollbackSnapshots(
  services: WorkspaceServices,
  layerCare: LayerCare,
): RollbackSnapshots {
  return {
    async take(workspaceId, name, progress) {
      const description = 'Before a merge';
      await createSnapshot(services, { workspace_id: workspaceId, name, description }, progress);
      layerCare.soon();
    },
    async discard(workspaceId, name) {
      await deleteSnapshot(services, { workspace_id: workspaceId, name }).catch(
        (error: unknown) => {
          if (!(error instanceof CoppiceError) || error.code !== 'not_found') throw error;
        },
      );
      layerCare.soon();
    },
  };
}
