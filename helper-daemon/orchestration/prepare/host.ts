/** What preparing needs of the rest of the daemon. */
import type * as z from 'zod';
import { CoppiceError } from '../../../protocol/errors.ts';
import type { workspacePrepare } from '../../../protocol/operations/prepare.ts';
import { deleteSnapshot } from '../../snapshots/change.ts';
import { createSnapshot } from '../../snapshots/create.ts';
import { announceSnapshot } from '../../snapshots/view.ts';
import type { PreparedStore } from '../../store/orchestrationStore.ts';
import type { SnapshotRecord } from '../../store/treeStore.ts';
import type { WorkspaceRecord } from '../../store/workspaceStore.ts';
import { callerKey, type Caller } from '../../workspaces/callers.ts';
import { createWorkspace } from '../../workspaces/create.ts';
import { destroyWorkspace } from '../../workspaces/destroy.ts';
import { reachableAddress } from '../../workspaces/network.ts';
import { adopt } from '../../workspaces/ownership.ts';
import { resumeWorkspace } from '../../workspaces/pause.ts';
import type { Pool } from '../../workspaces/pool.ts';
import type { WorkspaceServices } from '../../workspaces/services.ts';
import { startWorkspace } from '../../workspaces/start.ts';
import type { Templates } from '../../workspaces/templates.ts';
import { guestOf, type Guest } from '../guest.ts';

export type PrepareInput = z.output<typeof workspacePrepare.input>;
export type Prepared = z.output<typeof workspacePrepare.output>;

export interface StepOptions {
  readonly signal: AbortSignal;
  readonly progress: (message: string) => void;
}

export interface PrepareHost {
  readonly rows: PreparedStore;
  readonly guest: Pick<Guest, 'run' | 'sync'>;
  now(): Date;
  transaction<T>(work: () => T): T;
  warn(message: string, error: unknown): void;
  workspace(id: string): WorkspaceRecord | undefined;
  /** Of any role: names are unique among all. */
  named(name: string): WorkspaceRecord | undefined;
  address(record: WorkspaceRecord): string | null;
  /** With internet where this host can let machines out. */
  create(
    input: PrepareInput,
    name: string,
    caller: Caller,
    options: StepOptions,
  ): Promise<WorkspaceRecord>;
  /** @throws CoppiceError `not_owned`, `quota_exceeded` */
  adopt(id: string, caller: Caller): void;
  /** Makes it run, whatever it was doing. */
  wake(id: string, options: StepOptions): Promise<void>;
  destroy(id: string): Promise<void>;
  snapshotNamed(id: string, name: string): SnapshotRecord | undefined;
  snapshot(id: string): SnapshotRecord | undefined;
  takeSnapshot(
    id: string,
    draft: { readonly name: string; readonly description: string; readonly memory: boolean },
    progress: (message: string) => void,
  ): Promise<void>;
  /** Inside a transaction of the caller's. */
  renameSnapshot(snapshotId: string, name: string): void;
  announce(snapshotId: string): void;
  deleteSnapshot(id: string, name: string): Promise<void>;
  /** Machines were forked from it, or are about to be. */
  isNeeded(snapshotId: string): boolean;
}

export function prepareHost(
  services: WorkspaceServices,
  parts: {
    readonly rows: PreparedStore;
    readonly templates: Templates;
    readonly pool: Pool;
    /** Whether a swarm still forks from it. */
    readonly isInUse: (snapshotId: string) => boolean;
  },
): PrepareHost {
  const { store, tree } = services;
  return {
    rows: parts.rows,
    guest: guestOf(services),
    now: services.now,
    transaction: services.transaction,
    warn: (message, error) => services.log.warn({ err: error }, message),
    workspace: (id) => store.byId(id),
    named: (name) => store.byName(name),
    address: (record) => reachableAddress(services, record),
    async create({ base_image, vcpus, memory_mb, disk_gb }, name, caller, options) {
      const wanted = {
        name,
        ...(base_image === undefined ? {} : { base_image }),
        ...(vcpus === undefined ? {} : { vcpus }),
        ...(memory_mb === undefined ? {} : { memory_mb }),
        ...(disk_gb === undefined ? {} : { disk_gb }),
      };
      const make = async (allow_internet: boolean): Promise<WorkspaceRecord> => {
        const input = { ...wanted, allow_internet };
        const owner = callerKey(caller);
        return (await createWorkspace(services, parts, input, { ...options, owner })).record;
      };
      try {
        return await make(true);
      } catch (error) {
        // Much can be set up without the internet; what cannot says so itself.
        if (!(error instanceof CoppiceError) || error.code !== 'prerequisite_missing') throw error;
        return await make(false);
      }
    },
    adopt(id, caller) {
      adopt(services, caller, id, true);
    },
    async wake(id, options) {
      if (store.byId(id)?.state === 'paused') await resumeWorkspace(services, id, options);
      else await startWorkspace(services, id, options);
    },
    async destroy(id) {
      await destroyWorkspace(services, id);
    },
    snapshotNamed: (id, name) => tree.snapshotNamed(id, name),
    snapshot: (id) => tree.snapshot(id),
    async takeSnapshot(id, { name, description, memory }, progress) {
      await createSnapshot(
        services,
        { workspace_id: id, name, description, include_memory: memory },
        progress,
      );
    },
    renameSnapshot(snapshotId, name) {
      tree.updateSnapshot(snapshotId, { name });
    },
    announce: (snapshotId) => announceSnapshot(services, snapshotId),
    async deleteSnapshot(id, name) {
      await deleteSnapshot(services, { workspace_id: id, name });
    },
    isNeeded: (snapshotId) =>
      store.forkedFromSnapshot(snapshotId).length > 0 || parts.isInUse(snapshotId),
  };
}
