/** From nothing to a workspace with a machine; every new one comes into being here. */
import { randomUUID } from 'node:crypto';
import { closedPolicy } from '../network/policy.ts';
import type { WorkspaceRecord } from '../store/workspaceStore.ts';
import { bootMachine, startMonitor, watch, type BootOptions, type LaunchOptions } from './boot.ts';
import { removeEverything } from './destroy.ts';
import { makeWorkspaceDirectories } from './directories.ts';
import { makeHead } from './heads.ts';
import { newIdentity, type Identity } from './identity.ts';
import { nextRevision } from './policies.ts';
import type { WorkspaceServices } from './services.ts';
import { announce, changeState } from './view.ts';

/** What a new workspace is to be; the rest follows. */
export type Draft = Pick<
  WorkspaceRecord,
  | 'role'
  | 'name'
  | 'imageName'
  | 'imageDigest'
  | 'vcpus'
  | 'memoryMb'
  | 'diskGb'
  | 'init'
  | 'storage'
  | 'baseLayer'
> &
  Partial<
    Pick<
      WorkspaceRecord,
      | 'ephemeral'
      | 'generation'
      | 'forkedFrom'
      | 'idleSuspendSecs'
      | 'expiresAt'
      | 'network'
      | 'owner'
    >
  >;

export interface BringUpOptions
  extends BootOptions, Partial<Pick<LaunchOptions, 'from' | 'grow' | 'as'>> {
  /** Leave it standing, not yet anybody. */
  readonly paused?: boolean;
  /** Checked in the transaction that stores the row. */
  readonly check?: () => void;
}

/**
 * Makes row, disk and machine. When any step fails everything made so far is taken back.
 * @throws CoppiceError `name_taken`, `no_space`, what usableBase and bootMachine throw
 */
export async function bringUp(
  services: WorkspaceServices,
  draft: Draft,
  options: BringUpOptions,
  id: string = randomUUID(),
): Promise<WorkspaceRecord> {
  const headId = randomUUID();
  return await services.locks.run(id, async () => {
    const { record, entry } = services.lightly(() =>
      services.transaction(() => {
        options.check?.();
        services.quotas.require(draft);
        const stored = newRecord(services, id, headId, draft);
        services.store.insert(stored);
        return { record: stored, entry: services.journal.begin('create', id) };
      }),
    );
    announce(services, id);
    try {
      await makeWorkspaceDirectories(services.paths, id);
      await makeHead(services, record, headId);
      if (options.paused === true) {
        const monitor = { as: 'self' as const, ...options, paused: true };
        watch(services, await startMonitor(services, record, monitor));
      } else {
        await bootMachine(services, record, options);
      }
      return services.transaction(() => {
        services.journal.end(entry);
        return changeState(services, id, {
          state: options.paused === true ? 'paused' : 'running',
        });
      });
    } catch (error) {
      await removeEverything(services, record, entry);
      throw error;
    }
  });
}

function newRecord(
  services: WorkspaceServices,
  id: string,
  headId: string,
  draft: Draft,
): WorkspaceRecord {
  const identity: Identity = newIdentity(services, id, draft.name);
  return {
    ephemeral: false,
    generation: 1,
    forkedFrom: null,
    idleSuspendSecs: 0,
    expiresAt: null,
    network: closedPolicy,
    owner: null,
    ...draft,
    ...identity,
    id,
    state: 'creating',
    createdAt: services.now().toISOString(),
    problem: null,
    head: services.storages.named(draft.storage).headLocator(headId),
    snapshotId: null,
    memoryId: null,
    networkRevision: nextRevision(services),
  };
}

/** When a workspace made now with this time to live ends. */
export function expiry(services: WorkspaceServices, ttlSecs: number | undefined): string | null {
  if (ttlSecs === undefined || ttlSecs === 0) return null;
  return new Date(services.now().getTime() + ttlSecs * 1000).toISOString();
}
