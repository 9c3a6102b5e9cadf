import type { Prepares } from '../../orchestration/prepare/prepare.ts';
import type { Swarms } from '../../orchestration/swarm/swarms.ts';
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
