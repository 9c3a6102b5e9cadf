/** From names to teams and members, and who may use them. */
import { CoppiceError } from '../../protocol/errors.ts';
import type { MemberRecord, TeamRecord, TeamStore } from '../store/teamStore.ts';
import { callerOf, mayUse, type Caller } from '../workspaces/callers.ts';

/** @throws CoppiceError `not_found` */
export function requireTeam(store: TeamStore, name: string): TeamRecord {
  const team = store.byName(name);
  if (team !== undefined) return team;
  throw new CoppiceError({
    code: 'not_found',
    message: `There is no team ${name}.`,
    next: 'List what there is with coppice team list (team, action list).',
    details: { name },
  });
}

/** @throws CoppiceError `not_found`, `not_owned` */
export function requireOwnTeam(store: TeamStore, name: string, caller: Caller): TeamRecord {
  const team = requireTeam(store, name);
  requireOwner(team, caller);
  return team;
}

/** @throws CoppiceError `not_owned` */
export function requireOwner(team: TeamRecord, caller: Caller): void {
  if (mayUse(caller, team.owner)) return;
  const { uid, agent } = callerOf(team.owner);
  const whose = agent === null ? `the person with uid ${String(uid)}` : `the agent ${agent}`;
  throw new CoppiceError({
    code: 'not_owned',
    message: `Team ${team.name} is not owned by this session; it belongs to ${whose}.`,
    next: 'Create a team of your own, or let its owner do it.',
    details: { name: team.name, owner: team.owner },
  });
}

/** @throws CoppiceError `not_found` that names those there are */
export function requireMember(store: TeamStore, team: TeamRecord, name: string): MemberRecord {
  const member = store.member(team.id, name);
  if (member !== undefined) return member;
  const names = store.members(team.id).map((one) => one.name);
  throw new CoppiceError({
    code: 'not_found',
    message: `Team ${team.name} has no member ${name}.`,
    next: `Its members are ${names.join(', ')}.`,
    details: { name: team.name, agent: name },
  });
}

/** @throws CoppiceError `wrong_state` unless all members are there */
export function requireReady(team: TeamRecord): void {
  if (team.state === 'ready') return;
  throw new CoppiceError({
    code: 'wrong_state',
    message: `Team ${team.name} is ${team.state === 'creating' ? 'still being created' : 'being destroyed'}.`,
    next:
      team.state === 'creating'
        ? 'Wait until that has ended, then try again.'
        : 'Create another team.',
    details: { state: team.state },
  });
}
