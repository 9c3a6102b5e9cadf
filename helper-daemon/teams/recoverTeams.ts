/** What a starting daemon does with the teams that the one before it left. Workspaces have been recovered. */
import type { MemberRecord, TeamRecord } from '../store/teamStore.ts';
import type { Cards } from './cards.ts';
import { dismantle } from './destroyTeam.ts';
import { undoTeam } from './makeTeam.ts';
import type { TaskQueue } from './taskQueue.ts';
import type { TeamServices } from './teamServices.ts';

/** Its creator was never told of a team that was being made: it is undone. A destroy is finished. */
export async function recoverTeams(
  services: TeamServices,
  cards: Cards,
  queue: TaskQueue,
): Promise<void> {
  const { store, log } = services;
  const deepestFirst = store.all().sort((a, b) => b.depth - a.depth);
  for (const team of deepestFirst) {
    // One that cannot be settled must not keep the others from their owners; the next start tries again.
    await settle(services, cards, queue, team).catch((error: unknown) => {
      log.error({ team: team.name, err: error }, 'team not recovered');
    });
  }
  queue.resume();
}

async function settle(
  services: TeamServices,
  cards: Cards,
  queue: TaskQueue,
  team: TeamRecord,
): Promise<void> {
  switch (team.state) {
    case 'creating':
      services.log.info({ team: team.name }, 'undoing a team that was being created');
      await undoTeam(services, cards, team, (member) => strayOf(services, team, member));
      return;
    case 'destroying':
      services.log.info({ team: team.name }, 'destroying the rest of a team');
      await dismantle(services, cards, queue, team);
      return;
    case 'ready':
      await noticeGone(services, cards, team);
  }
}

/** A workspace that was made for the member by a daemon that could not write that down any more. */
function strayOf(
  { machines }: TeamServices,
  team: TeamRecord,
  { workspaceName }: MemberRecord,
): string | undefined {
  const found = machines.named(workspaceName);
  const ours = found?.owner === team.owner && found.createdAt >= team.createdAt;
  return ours ? found.workspaceId : undefined;
}

async function noticeGone(
  { store, machines }: TeamServices,
  cards: Cards,
  team: TeamRecord,
): Promise<void> {
  for (const member of store.members(team.id)) {
    const { name, workspaceId, state } = member;
    if (state !== 'ready' || (workspaceId !== null && machines.find(workspaceId))) continue;
    store.updateMember(team.id, name, { state: 'failed' });
    await cards.refresh(team, [{ ...member, state: 'failed' }]);
  }
}
