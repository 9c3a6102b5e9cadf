/** What a swarm needs of the rest of the daemon. */
import { asCoppiceError, CoppiceError, isErrorCode } from '../../../protocol/errors.ts';
import { requireContinuable } from '../../snapshots/continuable.ts';
import { findSnapshot } from '../../snapshots/find.ts';
import { forkWorkspace } from '../../snapshots/fork.ts';
import type { SwarmStore } from '../../store/orchestrationStore.ts';
import type { SnapshotRecord } from '../../store/treeStore.ts';
import type { WorkspaceRecord } from '../../store/workspaceStore.ts';
import { requireDisk } from '../../workspaces/admission.ts';
import type { Caller } from '../../workspaces/callers.ts';
import { destroyWorkspace } from '../../workspaces/destroy.ts';
import { changePolicy } from '../../workspaces/policies.ts';
import { resolveWorkspace } from '../../workspaces/resolve.ts';
import type { WorkspaceServices } from '../../workspaces/services.ts';
import { guestOf, type Guest } from '../guest.ts';
import type { SwarmPlan } from './plan.ts';

export interface ForkRequest {
  readonly sourceId: string;
  readonly snapshotId: string;
  readonly name: string;
  readonly owner: string;
  readonly signal: AbortSignal;
}

export interface MergeRequest {
  readonly sources: readonly string[];
  readonly target: string;
  readonly strategy: NonNullable<SwarmPlan['merge']>['strategy'];
  readonly path: string;
  readonly caller: Caller;
  readonly signal: AbortSignal;
  readonly progress: (message: string) => void;
}

/** Merges what the sources have committed into the target. */
export type Merge = (request: MergeRequest) => Promise<{
  /** Of the merge, for JSON. */
  readonly reply: unknown;
  /** Sources with commits that are nowhere else now. */
  readonly unmerged: readonly string[];
}>;

/** Knowledge that tasks may be given. */
export interface VaultReader {
  search(
    query: string,
    limit: number,
  ): Promise<readonly { readonly path: string; readonly line: number; readonly context: string }[]>;
  read(path: string): Promise<string>;
}

export interface SwarmHost {
  readonly rows: SwarmStore;
  readonly guest: Guest;
  readonly merge: Merge | undefined;
  /** That of the account a swarm belongs to. */
  readonly vault: ((owner: string) => VaultReader) | undefined;
  /** Absolute; what swarms leave is kept below. */
  readonly directory: string;
  /** Makes a directory for what belongs to the account with this uid. */
  readonly sharedWithUser: boolean;
  now(): Date;
  transaction<T>(work: () => T): T;
  warn(message: string, error: unknown): void;
  /** @throws CoppiceError `not_found` */
  resolve(reference: string): WorkspaceRecord;
  workspace(id: string): WorkspaceRecord | undefined;
  named(name: string): WorkspaceRecord | undefined;
  /** @throws CoppiceError `not_found`, `snapshot_incompatible` */
  findSnapshot(workspace: WorkspaceRecord, reference: string): Promise<SnapshotRecord>;
  /** @throws CoppiceError `quota_exceeded` */
  requireQuota(golden: WorkspaceRecord, owner: string, count: number): void;
  /** @throws CoppiceError `no_space` */
  requireDisk(): Promise<void>;
  /** @returns the id of the worker */
  fork(request: ForkRequest): Promise<string>;
  allowInternet(id: string, allow: boolean): Promise<void>;
  /** Ends quietly when it is gone already. */
  destroy(id: string): Promise<void>;
  /** Counts as a use of the machine until what it returns is called. */
  use(id: string): () => void;
}

export function swarmHost(
  services: WorkspaceServices,
  parts: Pick<SwarmHost, 'rows' | 'merge' | 'vault' | 'directory'>,
): SwarmHost {
  const { store } = services;
  return {
    ...parts,
    guest: guestOf(services),
    sharedWithUser: services.paths.mode === 'system',
    now: services.now,
    transaction: services.transaction,
    warn: (message, error) => services.log.warn({ err: error }, message),
    resolve: (reference) => resolveWorkspace(store, reference),
    workspace: (id) => store.byId(id),
    named: (name) => store.byName(name),
    async findSnapshot(workspace, reference) {
      const snapshot = findSnapshot(services, workspace, reference);
      if (snapshot.memoryId !== null) {
        await requireContinuable(services, workspace, snapshot.name, snapshot.memoryId);
      }
      return snapshot;
    },
    requireQuota: (golden, owner, count) => services.quotas.require({ ...golden, owner }, count),
    requireDisk: () => requireDisk(services.paths.state),
    async fork({ sourceId, snapshotId, name, owner, signal }) {
      const input = { workspace_id: sourceId, snapshot_name: snapshotId, new_name: name };
      const options = { signal, owner, progress: () => undefined, made: () => undefined };
      const { workers, failures } = await forkWorkspace(services, input, options);
      const [worker] = workers;
      if (worker !== undefined) return worker.workspace_id;
      const [failure] = failures;
      throw new CoppiceError({
        code: isErrorCode(failure?.code) ? failure.code : 'internal',
        message: failure?.error ?? 'The worker was not made.',
      });
    },
    async allowInternet(id, allow) {
      await changePolicy(services, { workspace_id: id, allow_internet: allow });
    },
    async destroy(id) {
      try {
        await destroyWorkspace(services, id);
      } catch (error) {
        if (asCoppiceError(error).code !== 'not_found') throw error;
      }
    },
    use: (id) => services.activity.begin(id),
  };
}
