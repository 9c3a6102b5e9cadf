import { callerKey } from '../../workspaces/callers.ts';
import { adoptWorkspaces } from '../../workspaces/ownership.ts';
import type { WorkspaceServices } from '../../workspaces/services.ts';
import type { Handlers } from '../handlerTypes.ts';

type SessionHandlers = Pick<Handlers, 'workspace_adopt' | 'session_info'>;

export function sessionHandlers(services: WorkspaceServices): SessionHandlers {
  return {
    workspace_adopt: async (input, { caller }) => adoptWorkspaces(services, caller, input),
    async session_info(_input, { caller }) {
      const owner = callerKey(caller);
      return {
        owner,
        uid: caller.uid,
        agent: caller.agent,
        workspaces: services.store.ownedBy(owner).map(({ name }) => name),
        quota: services.quotas.useOf(owner),
      };
    },
  };
}
