/** How large a team may be, and how deep teams may nest. Call these in the transaction that stores the team. */
import { CoppiceError } from '../../protocol/errors.ts';
import { teamLimits } from '../../protocol/operations/team.ts';
import type { TeamRecord, TeamStore } from '../store/teamStore.ts';

/** @throws CoppiceError `limit_exceeded` when the team is larger than it may be itself */
export function requireOwnBudget(name: string, members: number, maxVms: number): void {
  if (members <= maxVms) return;
  throw new CoppiceError({
    code: 'limit_exceeded',
    message: `Team ${name} would have ${String(members)} members, and max_vms is ${String(maxVms)}.`,
    next: 'Give it fewer roles, or a larger max_vms.',
    details: { limit: maxVms, requested: members },
  });
}

/**
 * Room for `members` below `parent`, in its budget and in those of all teams above it.
 * @returns the depth of the new team
 * @throws CoppiceError `limit_exceeded` that names the team whose budget is spent
 */
export function requireRoomBelow(store: TeamStore, parent: TeamRecord, members: number): number {
  const depth = parent.depth + 1;
  if (depth > teamLimits.depth) {
    throw new CoppiceError({
      code: 'limit_exceeded',
      message: `Team ${parent.name} is ${String(parent.depth)} levels down already; teams nest no deeper than ${String(teamLimits.depth)}.`,
      next: 'Make it a part of a team further up.',
      details: { limit: teamLimits.depth, requested: depth },
    });
  }
  let team: TeamRecord | undefined = parent;
  while (team !== undefined) {
    const current = store.countBelow(team.id);
    if (current + members > team.maxVms) throw budgetSpent(team, current, members);
    team = team.parentId === null ? undefined : store.byId(team.parentId);
  }
  return depth;
}

function budgetSpent(team: TeamRecord, current: number, requested: number): CoppiceError {
  return new CoppiceError({
    code: 'limit_exceeded',
    message: `The budget of team ${team.name} does not suffice: max_vms ${String(team.maxVms)}, ${String(current)} in use by it and the teams below it, ${String(requested)} requested.`,
    next: 'Destroy a team below it, or ask for fewer roles.',
    details: { team: team.name, limit: team.maxVms, current, requested },
  });
}
