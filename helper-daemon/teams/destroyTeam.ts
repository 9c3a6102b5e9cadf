/** Taking a team apart. What has begun is finished, by the next call or the next daemon if need be. */
import pLimit from 'p-limit';
import { asCoppiceError, CoppiceError } from '../../protocol/errors.ts';
import type { MemberRecord, TeamRecord, TeamStore } from '../store/teamStore.ts';
import { callerOf, mayUse } from '../workspaces/callers.ts';
import type { Cards } from './cards.ts';
import type { TaskQueue } from './taskQueue.ts';
import type { TeamServices } from './teamServices.ts';

export interface Dismantled {
  /** Machines. */
  readonly destroyed: number;
  /** Names of machines that belong to somebody else by now. */
  readonly left: readonly string[];
}

/** Destroying is mostly waiting, but each takes the host some work. */
const atOnce = 8;

/** A team and all below it, the deepest first. */
export function familyOf(store: TeamStore, team: TeamRecord): TeamRecord[] {
  return [...store.children(team.id).flatMap((child) => familyOf(store, child)), team];
}

/**
 * Destroys what a team in the state `destroying` still has, and forgets it.
 * @throws CoppiceError when a machine could not be destroyed; the team then stays
 */
export async function dismantle(
  services: TeamServices,
  cards: Cards,
  queue: TaskQueue,
  team: TeamRecord,
): Promise<Dismantled> {
  const { store } = services;
  await queue.stop(team.id);
  const limit = pLimit(atOnce);
  const left: string[] = [];
  const failures: { readonly member: string; readonly error: CoppiceError }[] = [];
  let destroyed = 0;
  await Promise.all(
    store.members(team.id).map((member) =>
      limit(async () => {
        try {
          const end = await letGoOf(services, team, member);
          if (end === 'left') left.push(member.workspaceName);
          if (end === 'destroyed') destroyed += 1;
          store.updateMember(team.id, member.name, { state: 'removed' });
        } catch (error) {
          failures.push({ member: member.name, error: asCoppiceError(error) });
        }
      }),
    ),
  );
  if (failures.length > 0) throw notDestroyed(store, team, failures);
  if (team.purge) await cards.purge(team);
  else await cards.refresh(team);
  store.remove(team.id);
  return { destroyed, left };
}

async function letGoOf(
  { machines }: TeamServices,
  team: TeamRecord,
  { workspaceId }: MemberRecord,
): Promise<'destroyed' | 'left' | 'gone'> {
  const machine = workspaceId === null ? undefined : machines.find(workspaceId);
  if (machine === undefined) return 'gone';
  if (mayUse(callerOf(team.owner), machine.owner)) {
    await machines.destroy(machine.workspaceId);
    return 'destroyed';
  }
  await machines.release(machine.workspaceId);
  return 'left';
}

function notDestroyed(
  store: TeamStore,
  team: TeamRecord,
  failures: readonly { readonly member: string; readonly error: CoppiceError }[],
): CoppiceError {
  const reasons = failures.map(({ member, error }) => `${member}: ${error.message}`).join(' ');
  const problem = `${String(failures.length)} of ${String(store.members(team.id).length)} machines could not be destroyed. ${reasons}`;
  store.update(team.id, { problem });
  return new CoppiceError({
    code: failures[0]?.error.code ?? 'internal',
    message: `Team ${team.name} was not destroyed: ${problem}`,
    next: 'The others are gone. Destroy the team again to destroy what is left.',
    details: {
      name: team.name,
      failures: failures.map(({ member, error }) => ({ member, ...error.toBody() })),
    },
  });
}
