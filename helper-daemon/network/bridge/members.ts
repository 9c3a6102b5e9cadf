/** The machines that are attached: their runs, cards and teams. */
import type { Card, RunKey } from '../network.ts';
import { elementsOfPair } from './cardElements.ts';
import type { Element } from './elements.ts';

export interface Members {
  /** From now on the workspace has this run and card; undefined: neither. */
  put(run: RunKey, card: Card | undefined): Changed;
  of(workspaceId: string): Card | undefined;
  runOf(workspaceId: string): RunKey | undefined;
  at(address: string): Card | undefined;
  /** `name` in lower case. */
  named(name: string): Card | undefined;
  /** What follows from two machines being members of one team, if they are. */
  pair(one: string, other: string): Element[];
  /** When the address came to the workspace that has it, milliseconds since the epoch; 0: before this daemon. */
  since(address: string): number;
}

export interface Changed {
  /** Workspaces that were or are members of the same team. */
  readonly teamMates: readonly string[];
  /** Machines whose names lead nowhere any more: another policy, or none. */
  readonly endedNames: readonly string[];
}

interface Member {
  readonly run: RunKey;
  readonly card: Card;
}

/** What an earlier daemon has left in force. */
export interface Earlier {
  /** Of policies, by address. */
  readonly revisions: ReadonlyMap<string, string>;
  readonly addresses: ReadonlySet<string>;
}

export function createMembers({ revisions, addresses }: Earlier): Members {
  const members = new Map<string, Member>();
  const byAddress = new Map<string, Card>();
  const byName = new Map<string, Card>();
  const teams = new Map<string, Map<string, Card>>();
  const owners = new Map<string, { readonly workspaceId: string; readonly since: number }>();

  function remove({ card }: Member): void {
    const { workspaceId, address, name, policy } = card;
    members.delete(workspaceId);
    if (byAddress.get(address) === card) byAddress.delete(address);
    if (byName.get(name.toLowerCase()) === card) byName.delete(name.toLowerCase());
    if (policy.team === null) return;
    const team = teams.get(policy.team);
    team?.delete(workspaceId);
    if (team?.size === 0) teams.delete(policy.team);
  }

  function add(member: Member): void {
    const { card } = member;
    const { workspaceId, address, name, policy } = card;
    members.set(workspaceId, member);
    byAddress.set(address, card);
    byName.set(name.toLowerCase(), card);
    if (owners.get(address)?.workspaceId !== workspaceId) {
      const isKnown = addresses.has(address) && !owners.has(address);
      owners.set(address, { workspaceId, since: isKnown ? 0 : Date.now() });
    }
    if (policy.team === null) return;
    const team = teams.get(policy.team) ?? new Map<string, Card>();
    teams.set(policy.team, team.set(workspaceId, card));
  }

  return {
    put(run, card) {
      const before = members.get(run.workspaceId);
      const ended = new Set<string>();
      if (before !== undefined) {
        remove(before);
        if (before.card.revision !== card?.revision) ended.add(before.card.address);
      } else if (card !== undefined && revisions.get(card.address) !== String(card.revision)) {
        ended.add(card.address);
      }
      if (card !== undefined) add({ run, card });
      const teamBefore = before?.card.policy.team ?? null;
      const teamNow = card?.policy.team ?? null;
      const isSame = teamBefore === teamNow && before?.card.address === card?.address;
      const changed = isSame ? [] : [teamBefore, teamNow].filter((team) => team !== null);
      const mates = changed.flatMap((team) => [...(teams.get(team)?.keys() ?? [])]);
      const teamMates = [...new Set(mates)].filter((mate) => mate !== run.workspaceId);
      return { teamMates, endedNames: [...ended] };
    },
    of: (workspaceId) => members.get(workspaceId)?.card,
    runOf: (workspaceId) => members.get(workspaceId)?.run,
    at: (address) => byAddress.get(address),
    named: (name) => byName.get(name),
    pair(one, other) {
      const [a, b] = [members.get(one)?.card, members.get(other)?.card];
      if (a === undefined || b === undefined || a.policy.team === null) return [];
      return a.policy.team === b.policy.team ? elementsOfPair(a, b) : [];
    },
    since: (address) => owners.get(address)?.since ?? 0,
  };
}
