/** Teams as clients see them. */
import type { OutputOf } from '../../protocol/operations.ts';
import type { MemberRecord, MemberState, TeamRecord, TeamState } from '../store/teamStore.ts';
import { requireTeam } from './access.ts';
import type { TeamServices } from './teamServices.ts';

type Status = OutputOf<'team_status'>;

const stateWords = { creating: 'Creating', ready: 'Ready', destroying: 'Destroying' } as const;
const statusWords = {
  initializing: 'Initializing',
  ready: 'Ready',
  failed: 'Failed',
  removed: 'Removed',
} as const satisfies Record<MemberState, Status['members'][number]['agent_status']>;

export function stateWord(state: TeamState): Status['state'] {
  return stateWords[state];
}

export function listTeams(services: TeamServices): OutputOf<'team_list'> {
  const { store } = services;
  const teams = store.all().map((team) => ({
    ...facts(services, team),
    member_count: store.members(team.id).length,
  }));
  return { teams, count: teams.length };
}

/** @throws CoppiceError `not_found` */
export function teamStatus(services: TeamServices, name: string): Status {
  const { store } = services;
  const team = requireTeam(store, name);
  return {
    ...facts(services, team),
    members: store.members(team.id).map((member) => memberView(services, member)),
    problem: team.problem,
  };
}

function facts(
  { store }: TeamServices,
  team: TeamRecord,
): Pick<Status, 'name' | 'state' | 'created_at' | 'max_vms' | 'parent_team' | 'owner'> {
  return {
    name: team.name,
    state: stateWord(team.state),
    created_at: team.createdAt,
    max_vms: team.maxVms,
    parent_team: team.parentId === null ? null : (store.byId(team.parentId)?.name ?? null),
    owner: team.owner,
  };
}

function memberView(services: TeamServices, member: MemberRecord): Status['members'][number] {
  const { machines, mail } = services;
  const { workspaceId, state } = member;
  const machine = workspaceId === null ? undefined : machines.find(workspaceId);
  const waiting = mail.counts(member.teamId, member.name);
  const gone = workspaceId !== null && machine === undefined && state === 'ready';
  return {
    name: member.name,
    workspace_id: workspaceId,
    ip: machine?.ip ?? null,
    workspace_state: machine?.state ?? (workspaceId === null ? 'creating' : 'destroyed'),
    agent_status: statusWords[gone ? 'failed' : state],
    workspace_name: member.workspaceName,
    role: member.role,
    skills: [...member.skills],
    description: member.description,
    unread_messages: waiting.messages,
    pending_tasks: waiting.pending,
    running_tasks: waiting.running,
    unread_results: waiting.results,
  };
}
