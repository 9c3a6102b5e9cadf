import type { Merges } from '../../git/merge/merges.ts';
import type { Prepares } from '../../orchestration/prepare/prepare.ts';
import type { Merge, VaultReader } from '../../orchestration/swarm/host.ts';
import type { Swarms } from '../../orchestration/swarm/swarms.ts';
import type { Vault } from '../../vault/vault.ts';
import type { Handlers } from '../handlerTypes.ts';

type OrchestrationHandlers = Pick<
  Handlers,
  | 'workspace_prepare'
  | 'swarm_start'
  | 'swarm_status'
  | 'swarm_results'
  | 'swarm_cancel'
  | 'swarm_list'
>;

export function orchestrationHandlers({
  prepares,
  swarms,
}: {
  readonly prepares: Prepares;
  readonly swarms: Swarms;
}): OrchestrationHandlers {
  return {
    workspace_prepare: (input, { caller, signal, progress }) =>
      prepares.prepare(input, { caller, signal, progress }),
    swarm_start: (input, { caller }) => swarms.start(input, caller),

    swarm_status: async ({ swarm_id }, { caller }) => swarms.status(swarm_id, caller),
    swarm_results: ({ swarm_id, wait_secs }, { caller, signal, progress }) =>
      swarms.results(swarm_id, caller, { seconds: wait_secs ?? 0, signal, progress }),

    swarm_cancel: async ({ swarm_id }, { caller }) => swarms.cancel(swarm_id, caller),

    swarm_list: async (_input, { caller }) => swarms.list(caller),
  };
}

/** How swarms merge: as workspace_merge does when nothing else is said. */
export function swarmMerge(merges: Merges): Merge {
  return async ({ sources, target, strategy, path, signal, progress }) => {
    const reply = await merges.run(
      {
        source_workspaces: [...sources],
        target_workspace: target,
        strategy,
        path,
        include_uncommitted: false,
        on_conflict: 'abort',
        rollback_snapshot: true,
        preview: false,
      },
      { signal, progress },
    );
    return {
      reply,
      // What conflicted and became a branch is safe there.
      unmerged: reply.results
        .filter(({ success, branch }) => !success && branch === undefined)
        .map(({ source_id }) => source_id),
    };
  };
}

/** @param vault throws where there is none */
export function swarmVault(vault: () => Promise<Vault>): VaultReader {
  return {
    async search(query, limit) {
      const { results } = await (await vault()).search({ query, max_results: limit });
      return results.map(({ path, line_number, context }) => ({
        path,
        line: line_number,
        context,
      }));
    },
    async read(path) {
      return (await (await vault()).read(path)).content;
    },
  };
}
