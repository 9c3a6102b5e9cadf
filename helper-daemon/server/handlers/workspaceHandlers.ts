import type { OutputOf } from '../../../protocol/operations.ts';
import { createWorkspace } from '../../workspaces/create.ts';
import { destroyWorkspace } from '../../workspaces/destroy.ts';
import { describeWorkspace, workspaceLoad, workspaceLogs } from '../../workspaces/inspect.ts';
import type { WorkspaceServices } from '../../workspaces/services.ts';
import { startWorkspace } from '../../workspaces/start.ts';
import { stopWorkspace } from '../../workspaces/stop.ts';
import { summarize } from '../../workspaces/view.ts';
import type { Handlers } from '../handlerTypes.ts';

type WorkspaceHandlers = Pick<
  Handlers,
  | 'workspace_create'
  | 'workspace_destroy'
  | 'workspace_list'
  | 'workspace_info'
  | 'workspace_start'
  | 'workspace_stop'
  | 'workspace_logs'
  | 'workspace_stats'
>;

export function workspaceHandlers(services: WorkspaceServices): WorkspaceHandlers {
  return {
    async workspace_create(
      input,
      { signal, session, progress },
    ): Promise<OutputOf<'workspace_create'>> {
      const started = performance.now();
      const record = await createWorkspace(services, input, { signal, progress });
      if (record.ephemeral) {
        session.onClose(() => {
          destroyWorkspace(services, record.id).catch((error: unknown) => {
            services.log.info(
              { workspace: record.id, err: error },
              'ephemeral machine not removed',
            );
          });
        });
      }
      return {
        ...summarize(record),
        boot_time_ms: performance.now() - started,
        from_pool: false,
      };
    },
    async workspace_destroy({ workspace_id }) {
      const record = await destroyWorkspace(services, workspace_id);
      return { workspace_id: record.id, name: record.name };
    },
    async workspace_list({ state_filter }) {
      const records = services.store.all();
      return records
        .filter((record) => state_filter === undefined || record.state === state_filter)
        .map((record) => summarize(record));
    },
    workspace_info: ({ workspace_id }) => describeWorkspace(services, workspace_id),
    workspace_stats: ({ workspace_id }) => workspaceLoad(services, workspace_id),
    workspace_logs: (input) => workspaceLogs(services, input),
    async workspace_start({ workspace_id }, { signal, progress }) {
      return summarize(await startWorkspace(services, workspace_id, { signal, progress }));
    },
    async workspace_stop({ workspace_id, force }) {
      return summarize(await stopWorkspace(services, workspace_id, { force: force ?? false }));
    },
  };
}
