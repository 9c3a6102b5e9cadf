/** Teams as the rest of the daemon sees them. */
import type { CoppiceEvent } from '../../protocol/events.ts';
import type { OutputOf, ParsedInputOf } from '../../protocol/operations.ts';
import type { Caller } from '../workspaces/callers.ts';
import { keyedLock } from '../workspaces/keyedLock.ts';
import { requireOwner, requireOwnTeam } from './access.ts';
import { cards as openCards } from './cards.ts';
import { dismantle, familyOf } from './destroyTeam.ts';
import { receiveMessages, sendMessage } from './mailboxes.ts';
import { makeTeam, type MakeOptions } from './makeTeam.ts';
import { recoverTeams } from './recoverTeams.ts';
import { taskQueue } from './taskQueue.ts';
import type { TeamServices } from './teamServices.ts';
import { listTeams, teamStatus } from './view.ts';

/** What each throws is said at its operation in protocol/. */
export interface Teams {
  create(
    input: ParsedInputOf<'team_create'>,
    options: MakeOptions,
  ): Promise<OutputOf<'team_create'>>;
  destroy(input: ParsedInputOf<'team_destroy'>, caller: Caller): Promise<OutputOf<'team_destroy'>>;
  status(name: string): OutputOf<'team_status'>;
  list(): OutputOf<'team_list'>;
  message(input: ParsedInputOf<'team_message'>, caller: Caller): OutputOf<'team_message'>;
  receive(input: ParsedInputOf<'team_receive'>, caller: Caller): OutputOf<'team_receive'>;
  /** Settles what the daemon before left. Call it once, when workspaces have been recovered. */
  recover(): Promise<void>;
  /** Keeps members and their cards what their workspaces are. */
  heard(event: CoppiceEvent): void;
  /** Tasks go on in their machines. */
  close(): Promise<void>;
}

/** A team that is being made. */
interface Making {
  readonly name: string;
  cancel(): void;
  /** Never rejects. */
  readonly over: Promise<unknown>;
}

export function openTeams(services: TeamServices): Teams {
  const { store } = services;
  const cards = openCards(services);
  const queue = taskQueue(services);
  const locks = keyedLock();
  const making = new Set<Making>();
  let closed = false;

  /** Events are published in the middle of transactions, which may yet be undone: look when they are over. */
  function afterwards(work: () => void): void {
    queueMicrotask(() => {
      if (closed) return;
      try {
        work();
      } catch (error) {
        services.log.error({ err: error }, 'an event was not followed');
      }
    });
  }

  function runsAgain(workspaceId: string): void {
    const member = store.memberOf(workspaceId);
    if (member !== undefined) queue.wake(member.teamId, member.name);
  }

  function isGone(workspaceId: string): void {
    const member = store.memberOf(workspaceId);
    const team = member === undefined ? undefined : store.byId(member.teamId);
    if (member === undefined || team?.state !== 'ready') return;
    if (services.machines.find(workspaceId) !== undefined) return;
    store.updateMember(team.id, member.name, { state: 'failed' });
    void cards.refresh(team, [{ ...member, state: 'failed' }]);
    queue.wake(team.id, member.name);
  }

  async function create(
    input: ParsedInputOf<'team_create'>,
    options: MakeOptions,
  ): Promise<OutputOf<'team_create'>> {
    const cancelled = new AbortController();
    const signal = AbortSignal.any([options.signal, cancelled.signal]);
    const made = makeTeam(services, cards, input, { ...options, signal });
    const mine: Making = {
      name: input.name,
      cancel: () => cancelled.abort(),
      over: made.catch(() => undefined),
    };
    making.add(mine);
    try {
      return await made;
    } finally {
      making.delete(mine);
    }
  }

  async function destroy(
    { name, purge }: ParsedInputOf<'team_destroy'>,
    caller: Caller,
  ): Promise<OutputOf<'team_destroy'>> {
    const team = requireOwnTeam(store, name, caller);
    const family = familyOf(store, team);
    for (const one of family) requireOwner(one, caller);
    services.transaction(() => {
      for (const { id, purge: before } of family) {
        store.update(id, { state: 'destroying', purge: before || (purge ?? false), problem: null });
      }
    });
    const names = new Set(family.map((one) => one.name));
    const begun = [...making].filter((one) => names.has(one.name));
    for (const { cancel } of begun) cancel();
    await Promise.all(begun.map(({ over }) => over));
    let destroyed = 0;
    const left: string[] = [];
    for (const { id } of family) {
      await locks.run(id, async () => {
        // Another call, or the end of its making, may have finished it.
        const rest = store.byId(id);
        if (rest === undefined) return;
        const done = await dismantle(services, cards, queue, rest);
        destroyed += done.destroyed;
        left.push(...done.left);
      });
    }
    return { name, success: true, destroyed, left };
  }

  return {
    create,
    destroy,
    status: (name) => teamStatus(services, name),
    list: () => listTeams(services),
    message: (input, caller) => sendMessage(services, queue, input, caller),
    receive: (input, caller) => receiveMessages(services, input, caller),
    recover: () => recoverTeams(services, cards, queue),
    heard(event) {
      if (event.type === 'workspace_changed' && event.workspace.state === 'running') {
        afterwards(() => runsAgain(event.workspace.workspace_id));
      }
      if (event.type === 'workspace_removed') afterwards(() => isGone(event.workspace_id));
    },
    async close() {
      closed = true;
      await queue.close();
    },
  };
}
