import { beforeEach, describe, expect, it } from 'vitest';
import { workspaceStore } from '../../../helper-daemon/store/workspaceStore.ts';
import { transaction } from '../../../helper-daemon/store/database.ts';
import { treeStore } from '../../../helper-daemon/store/treeStore.ts';
import { defaultConfig } from '../../../helper-daemon/system/config.ts';
import {
  callerKey,
  callerOf,
  mayUse,
  type Caller,
} from '../../../helper-daemon/workspaces/callers.ts';
import {
  adopt,
  adoptWorkspaces,
  callerActivity,
  requireOwned,
} from '../../../helper-daemon/workspaces/ownership.ts';
import { quotas } from '../../../helper-daemon/workspaces/quotas.ts';
import type { WorkspaceServices } from '../../../helper-daemon/workspaces/services.ts';
import { temporaryDatabase, workspaceRow } from '../store/temporaryDatabase.ts';

const database = temporaryDatabase();
const alice: Caller = { uid: 1000, agent: 'alice' };
const bob: Caller = { uid: 1000, agent: 'bob' };
const person: Caller = { uid: 1000, agent: null };
const stranger: Caller = { uid: 2000, agent: 'alice' };
const root: Caller = { uid: 0, agent: null };

const id = (n: number): string => `00000000-0000-4000-8000-00000000000${String(n)}`;

let now: number;
let services: WorkspaceServices;

beforeEach(() => {
  now = 0;
  const store = workspaceStore(database.db);
  // Of the services of the daemon only what ownership works with.
  services = {
    store,
    tree: treeStore(database.db),
    transaction: (work: () => unknown) => transaction(database.db, work),
    callers: callerActivity(() => now),
    quotas: quotas(store, {
      ...defaultConfig,
      quota: {
        ...defaultConfig.quota,
        agent: { workspaces: 2, vcpus: null, memoryMb: null, diskGb: null },
      },
    }),
    network: { kind: 'user' },
    publish: () => undefined,
  } as unknown as WorkspaceServices;
});

function workspace(n: number, owner: Caller | null): void {
  services.store.insert(
    workspaceRow(id(n), {
      name: `w${String(n)}`,
      address: `10.42.0.${String(n)}`,
      owner: owner === null ? null : callerKey(owner),
    }),
  );
}

describe('who may use a workspace', () => {
  it('is its owner, the person of the same account, and root', () => {
    expect(mayUse(alice, callerKey(alice))).toBe(true);
    expect(mayUse(bob, callerKey(alice))).toBe(false);
    expect(mayUse(person, callerKey(alice))).toBe(true);
    expect(mayUse(stranger, callerKey(alice))).toBe(false);
    expect(mayUse({ uid: 2000, agent: null }, callerKey(alice))).toBe(false);
    expect(mayUse(root, callerKey(alice))).toBe(true);
  });

  it('is no agent while it belongs to nobody', () => {
    expect(mayUse(alice, null)).toBe(false);
    expect(mayUse(person, null)).toBe(true);
  });

  it('is told to an agent that may not, with the way to it', () => {
    workspace(1, bob);
    expect(() => requireOwned(services, alice, 'w1')).toThrow(/not owned by this session/);
    try {
      requireOwned(services, alice, id(1));
    } catch (error) {
      expect(error).toMatchObject({
        code: 'not_owned',
        next: expect.stringContaining(
          `workspace_adopt(workspace_id="${id(1)}", force=true)`,
        ) as string,
      });
    }
  });

  it('survives in the key of a caller', () => {
    for (const caller of [alice, person, root]) expect(callerOf(callerKey(caller))).toEqual(caller);
  });
});

describe('adopting', () => {
  it('takes what belongs to nobody without force', () => {
    workspace(1, null);
    expect(adopt(services, alice, id(1), false).forced).toBe(false);
    expect(services.store.byId(id(1))?.owner).toBe('1000/alice');
  });

  it('leaves one of its own as it is', () => {
    workspace(1, alice);
    expect(adopt(services, alice, id(1), false)).toMatchObject({ forced: false });
  });

  it('takes from another agent only with force, and only when that has been idle for 60 s', () => {
    workspace(1, bob);
    services.callers.heard(bob);
    expect(() => adopt(services, alice, id(1), false)).toThrow(/not owned/);
    now = 59_000;
    expect(() => adopt(services, alice, id(1), true)).toThrow(/is at work/);
    now = 60_000;
    expect(adopt(services, alice, id(1), true).forced).toBe(true);
  });

  it('takes at once from an agent that has not called since the daemon started', () => {
    workspace(1, bob);
    expect(adopt(services, alice, id(1), true).forced).toBe(true);
  });

  it('lets the person take from their agents, and nobody from another account', () => {
    workspace(1, alice);
    services.callers.heard(alice);
    expect(adopt(services, person, id(1), false).forced).toBe(true);
    workspace(2, alice);
    expect(() => adopt(services, stranger, id(2), true)).toThrow(/not owned/);
  });

  it('counts against the quota of whoever takes', () => {
    workspace(1, alice);
    workspace(2, alice);
    workspace(3, null);
    expect(() => adopt(services, alice, id(3), false)).toThrow(
      'quota exceeded: workspaces (limit 2, current 2, requested 1)',
    );
    expect(services.store.byId(id(3))?.owner).toBeNull();
  });

  it('of everything takes what may be taken and cuts nobody off that is at work', () => {
    workspace(1, null);
    workspace(2, bob);
    services.callers.heard(bob);
    const without = adoptWorkspaces(services, alice, {});
    expect(without.adopted.map(({ name }) => name)).toEqual(['w1']);
    expect(without.errors).toEqual([]);
    const forced = adoptWorkspaces(services, alice, { force: true });
    expect(forced.adopted).toEqual([]);
    expect(forced.errors).toEqual([
      { workspace_id: id(2), error: expect.stringContaining('is at work') as string },
    ]);
    expect(services.store.byId(id(2))?.owner).toBe('1000/bob');
  });
});
