import type { OutputOf } from '../../../protocol/operations.ts';
import { expiry } from '../../workspaces/bringUp.ts';
import { callerKey, mayUse } from '../../workspaces/callers.ts';
import { createWorkspace } from '../../workspaces/create.ts';
import { destroyWorkspace } from '../../workspaces/destroy.ts';
import { describeWorkspace, workspaceLoad, workspaceLogs } from '../../workspaces/inspect.ts';
import type { LayerCare } from '../../workspaces/layerCare.ts';
import { pauseWorkspace, resumeWorkspace } from '../../workspaces/pause.ts';
import { refreshCard } from '../../workspaces/network.ts';
import type { Pool } from '../../workspaces/pool.ts';
import { resolveWorkspace } from '../../workspaces/resolve.ts';
import type { WorkspaceServices } from '../../workspaces/services.ts';
import { startWorkspace } from '../../workspaces/start.ts';
import { stopWorkspace } from '../../workspaces/stop.ts';
import { suspendWorkspace } from '../../workspaces/suspend.ts';
import type { Templates } from '../../workspaces/templates.ts';
import { changeState, summarize } from '../../workspaces/view.ts';
import { destroyWith } from './ephemeral.ts';
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
  | 'workspace_pause'
  | 'workspace_suspend'
  | 'workspace_resume'
  | 'workspace_configure'
>;

export function workspaceHandlers(
  services: WorkspaceServices,
  ready: { readonly templates: Templates; readonly pool: Pool; readonly layerCare: LayerCare },
): WorkspaceHandlers {
  return {
    async workspace_create(
      input,
      { signal, session, progress, caller },
    ): Promise<OutputOf<'workspace_create'>> {
      const started = performance.now();
      const made = await createWorkspace(services, ready, input, {
        signal,
        progress,
        owner: callerKey(caller),
      });
      if (made.record.ephemeral) destroyWith(services, session, made.record.id);
      return {
        ...summarize(services, made.record),
        boot_time_ms: performance.now() - started,
        from_pool: made.fromPool,
        from_template: made.fromTemplate,
      };
    },
    async workspace_destroy({ workspace_id }) {
      const record = await destroyWorkspace(services, workspace_id);
      ready.layerCare.soon();
      return { workspace_id: record.id, name: record.name };
    },
    async workspace_list({ state_filter }, { caller }) {
      return services.store
        .visible()
        .filter((record) => state_filter === undefined || record.state === state_filter)
        .map((record) => ({
          ...summarize(services, record),
          owned: mayUse(caller, record.owner),
        }));
    },
    workspace_info: ({ workspace_id }, { caller }) =>
      describeWorkspace(services, caller, workspace_id),
    workspace_stats: ({ workspace_id }) => workspaceLoad(services, workspace_id),
    workspace_logs: (input) => workspaceLogs(services, input),
    async workspace_start({ workspace_id, strict }, { signal, progress }) {
      const options = { signal, progress, strict: strict ?? false };
      return summarize(services, await startWorkspace(services, workspace_id, options));
    },
    async workspace_stop({ workspace_id, force, strict }) {
      const record = await stopWorkspace(services, workspace_id, {
        force: force ?? false,
        strict: strict ?? false,
      });
      // What waited below a running machine can be folded now.
      ready.layerCare.soon();
      return summarize(services, record);
    },
    async workspace_pause({ workspace_id }) {
      return summarize(services, await pauseWorkspace(services, workspace_id));
    },
    async workspace_suspend({ workspace_id }) {
      const record = await suspendWorkspace(services, workspace_id);
      const memory = record.memoryId === null ? undefined : services.tree.memory(record.memoryId);
      return { ...summarize(services, record), memory_bytes: memory?.bytes ?? 0 };
    },
    async workspace_resume({ workspace_id }, { signal, progress }) {
      const record = await resumeWorkspace(services, workspace_id, { signal, progress });
      return summarize(services, record);
    },
    async workspace_configure({ workspace_id, ttl_secs, idle_suspend_secs }) {
      const { id } = resolveWorkspace(services.store, workspace_id);
      const record = changeState(services, id, {
        ...(ttl_secs === undefined ? {} : { expiresAt: expiry(services, ttl_secs) }),
        ...(idle_suspend_secs === undefined ? {} : { idleSuspendSecs: idle_suspend_secs }),
      });
      await refreshCard(services, id);
      return summarize(services, record);
    },
  };
}
