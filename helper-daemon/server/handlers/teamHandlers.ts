import type { TeamVault } from '../../teams/teamServices.ts';
import type { Teams } from '../../teams/teams.ts';
import type { Vault } from '../../vault/vault.ts';
import type { Handlers } from '../handlerTypes.ts';

type TeamHandlers = Pick<
  Handlers,
  'team_create' | 'team_destroy' | 'team_status' | 'team_list' | 'team_message' | 'team_receive'
>;

/** @param vault throws where there is none */
export function teamVault(vault: () => Promise<Vault>): TeamVault {
  return {
    async write(file, content) {
      await (await vault()).write(file, content);
    },
    makeFolder: async (folder) => (await vault()).makeFolder(folder),
    remove: async (folder) => (await vault()).removeFolder(folder),
  };
}

export function teamHandlers(teams: Teams): TeamHandlers {
  return {
    team_create: (input, { caller, signal, progress }) =>
      teams.create(input, { caller, signal, progress }),
    team_destroy: (input, { caller }) => teams.destroy(input, caller),
    team_status: async ({ name }) => teams.status(name),
    team_list: async () => teams.list(),
    team_message: async (input, { caller }) => teams.message(input, caller),
    team_receive: async (input, { caller }) => teams.receive(input, caller),
  };
}
