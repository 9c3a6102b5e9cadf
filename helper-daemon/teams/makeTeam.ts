/** Making a team: all of its members come into being, or none. */
import { randomBytes, randomUUID } from 'node:crypto';
import pLimit from 'p-limit';
import { asCoppiceError, CoppiceError } from '../../protocol/errors.ts';
import type { OutputOf, ParsedInputOf } from '../../protocol/operations.ts';
import type { TeamRole } from '../../protocol/operations/team.ts';
import type { MemberRecord, TeamRecord } from '../store/teamStore.ts';
import { callerKey, callerOf, type Caller } from '../workspaces/callers.ts';
import { requireOwner, requireReady, requireTeam } from './access.ts';
import { requireOwnBudget, requireRoomBelow } from './budget.ts';
import type { Cards } from './cards.ts';
import { rolesOf } from './roles.ts';
import type { MemberPlan, TeamServices } from './teamServices.ts';
import { stateWord } from './view.ts';

const defaultMaxVms = 10;
const defaultSnapshot = 'golden';
/** More at once only wait for each other. */
const atOnce = 4;
/** Of a workspace, without the dash and the four digits that make it unique. */
const longestName = 128 - 5;

export interface MakeOptions {
  readonly caller: Caller;
  readonly signal: AbortSignal;
  readonly progress: (message: string, fraction?: number) => void;
}

/** @throws CoppiceError see team_create in protocol/ */
export async function makeTeam(
  services: TeamServices,
  cards: Cards,
  input: ParsedInputOf<'team_create'>,
  options: MakeOptions,
): Promise<OutputOf<'team_create'>> {
  const { store } = services;
  const roles = rolesOf(input);
  const plan = planOf(services, input);
  const team = services.transaction(() => begin(services, input, roles, plan, options.caller));
  try {
    await cards.prepare(team);
    await cards.refresh(team);
    await makeMembers(services, team, plan, options);
    services.transaction(() => {
      if (store.byId(team.id)?.state !== 'creating') throw destroyedMeanwhile(team);
      store.update(team.id, { state: 'ready' });
      for (const { name } of store.members(team.id)) {
        store.updateMember(team.id, name, { state: 'ready' });
      }
    });
  } catch (error) {
    // What is not written down has not been made.
    await undoTeam(services, cards, team, () => undefined);
    throw error;
  }
  const made = store.members(team.id);
  await cards.refresh(team, made);
  return {
    name: team.name,
    state: stateWord('ready'),
    member_count: made.length,
    member_workspace_ids: made.map(idOf),
    max_vms: team.maxVms,
    members: made.map((member) => ({
      name: member.name,
      workspace_id: idOf(member),
      workspace_name: member.workspaceName,
    })),
  };
}

function idOf({ name, workspaceId }: MemberRecord): string {
  if (workspaceId === null) throw new Error(`member ${name} has no workspace`);
  return workspaceId;
}

/**
 * Whatever was made is destroyed, and the team forgotten; the next daemon does what fails here. `strayOf` knows
 * the workspaces of members that have none in their rows.
 */
export async function undoTeam(
  services: TeamServices,
  cards: Cards,
  team: TeamRecord,
  strayOf: (member: MemberRecord) => string | undefined,
): Promise<void> {
  const { store, machines, log } = services;
  const limit = pLimit(atOnce);
  const undone = store.members(team.id).map((member) =>
    limit(async () => {
      store.updateMember(team.id, member.name, { state: 'failed' });
      const id = member.workspaceId ?? strayOf(member);
      if (id !== undefined) await machines.destroy(id);
    }),
  );
  const failures = (await Promise.allSettled(undone)).filter(({ status }) => status === 'rejected');
  for (const failure of failures) {
    log.error({ team: team.name, err: failure }, 'member of an undone team not destroyed');
  }
  await cards.refresh(team);
  if (failures.length === 0) store.remove(team.id);
}

function planOf({ machines }: TeamServices, input: ParsedInputOf<'team_create'>): MemberPlan {
  if (input.golden_workspace === undefined) {
    return {
      kind: 'new',
      baseImage: input.base_image,
      vcpus: input.vcpus,
      memoryMb: input.memory_mb,
      diskGb: input.disk_gb,
    };
  }
  return {
    kind: 'copies',
    workspaceId: machines.resolve(input.golden_workspace),
    snapshot: input.base_snapshot ?? defaultSnapshot,
  };
}

/** Everything is checked and written down at once, so that nobody else's team can come in between. */
function begin(
  services: TeamServices,
  input: ParsedInputOf<'team_create'>,
  roles: readonly TeamRole[],
  plan: MemberPlan,
  caller: Caller,
): TeamRecord {
  const { store, machines } = services;
  const maxVms = input.max_vms ?? defaultMaxVms;
  const parent = input.parent_team === undefined ? null : requireTeam(store, input.parent_team);
  if (parent !== null) {
    requireOwner(parent, caller);
    requireReady(parent);
  }
  requireOwnBudget(input.name, roles.length, maxVms);
  const team: TeamRecord = {
    id: randomUUID(),
    name: input.name,
    owner: callerKey(caller),
    state: 'creating',
    maxVms,
    parentId: parent?.id ?? null,
    depth: parent === null ? 0 : requireRoomBelow(store, parent, roles.length),
    createdAt: services.now().toISOString(),
    purge: false,
    problem: null,
  };
  machines.require(plan, caller, roles.length);
  const members = roles.map((role): MemberRecord => ({
    teamId: team.id,
    name: role.name,
    role: role.role,
    description: role.description ?? '',
    skills: role.skills ?? [],
    workspaceName: freeName(services, team.name, role.name),
    workspaceId: null,
    state: 'initializing',
  }));
  store.insert(team, members);
  return team;
}

/** `<team>-<role>-<4 hex digits>` that no workspace has. */
function freeName({ machines, store }: TeamServices, team: string, role: string): string {
  for (;;) {
    const suffix = randomBytes(2).toString('hex');
    const name = `${`${team}-${role}`.slice(0, longestName)}-${suffix}`;
    if (machines.named(name) === undefined && !store.isReserved(name)) return name;
  }
}

/**
 * Only members share it, and nobody can guess it: whoever may set the policy of a machine could join the network
 * of any team whose name were all.
 */
function networkOf({ name, id }: Pick<TeamRecord, 'name' | 'id'>): string {
  return `${name}.${id.replaceAll('-', '')}`;
}

async function makeMembers(
  services: TeamServices,
  team: TeamRecord,
  plan: MemberPlan,
  { signal, progress }: MakeOptions,
): Promise<void> {
  const { store, machines } = services;
  const members = store.members(team.id);
  const failed = new AbortController();
  const limit = pLimit(atOnce);
  let first: { readonly member: string; readonly error: unknown } | undefined;
  let ready = 0;
  progress(`0 of ${String(members.length)} members ready`, 0);
  await Promise.all(
    members.map((member) =>
      limit(async () => {
        if (first !== undefined) return;
        try {
          const workspaceId = await machines.create(plan, {
            name: member.workspaceName,
            owner: callerOf(team.owner),
            network: networkOf(team),
            signal: AbortSignal.any([signal, failed.signal]),
          });
          store.updateMember(team.id, member.name, { workspaceId });
          ready += 1;
          progress(
            `${String(ready)} of ${String(members.length)} members ready`,
            ready / members.length,
          );
        } catch (error) {
          first ??= { member: member.name, error };
          failed.abort();
        }
      }),
    ),
  );
  if (first !== undefined) throw memberFailed(team, first.member, first.error);
}

function memberFailed(team: TeamRecord, member: string, error: unknown): CoppiceError {
  const { code, message, next, details } = asCoppiceError(error);
  return new CoppiceError(
    {
      code,
      message: `Team ${team.name} was not created, because its member ${member} could not be: ${message}`,
      ...(next === undefined ? {} : { next }),
      details: { ...details, team: team.name, member },
    },
    { cause: error },
  );
}

function destroyedMeanwhile({ name }: TeamRecord): CoppiceError {
  return new CoppiceError({
    code: 'cancelled',
    message: `Team ${name} was destroyed while it was being created.`,
  });
}
