/** How much one caller may have, checked in the transaction that stores a new workspace. */
import { CoppiceError } from '../../protocol/errors.ts';
import type { DaemonConfig } from '../system/config.ts';
import type { WorkspaceRecord, WorkspaceStore } from '../store/workspaceStore.ts';
import { callerOf } from './callers.ts';

/** What a workspace counts for. */
export type Charge = Pick<WorkspaceRecord, 'vcpus' | 'memoryMb' | 'diskGb'> & {
  readonly owner?: string | null;
  readonly role?: WorkspaceRecord['role'];
};

/** How much there is of something, and how much there may be. */
export interface QuotaUse {
  readonly current: number;
  /** Null: no limit. */
  readonly limit: number | null;
}

export interface Quotas {
  /**
   * Call it in the transaction that stores the workspace. `adopted`: it exists already and only changes hands.
   * @throws CoppiceError `quota_exceeded` when its owner may not have it beside what it has, `count` times over
   */
  require(charge: Charge, count?: number, how?: 'new' | 'adopted'): void;
  useOf(owner: string): Readonly<Record<QuotaName, QuotaUse>>;
}

const names = ['workspaces', 'vcpus', 'memory_mb', 'disk_gb'] as const;
type QuotaName = (typeof names)[number];

export function quotas(
  store: WorkspaceStore,
  config: Pick<DaemonConfig, 'quota' | 'resources'>,
): Quotas {
  function useOf(owner: string): Record<QuotaName, QuotaUse> {
    const limits = config.quota[callerOf(owner).agent === null ? 'person' : 'agent'];
    const current = store.sumOwnedBy(owner);
    return {
      workspaces: { current: current.workspaces, limit: limits.workspaces },
      vcpus: { current: current.vcpus, limit: limits.vcpus },
      memory_mb: { current: current.memoryMb, limit: limits.memoryMb },
      disk_gb: { current: current.diskGb, limit: limits.diskGb },
    };
  }

  return {
    useOf,
    require(charge, count = 1, how = 'new') {
      if (charge.role !== undefined && charge.role !== 'user') return;
      if (how === 'new') {
        const current = store.countVisible();
        const limit = config.resources.maxWorkspaces;
        if (current + count > limit) {
          throw exceeded('workspaces of this host', { current, limit }, count);
        }
      }
      if (charge.owner === undefined || charge.owner === null) return;
      const use = useOf(charge.owner);
      for (const name of names) {
        const wanted = amount(name, charge) * count;
        const { current, limit } = use[name];
        if (limit !== null && current + wanted > limit) {
          throw exceeded(name, { current, limit }, wanted);
        }
      }
    },
  };
}

function amount(name: QuotaName, charge: Charge): number {
  if (name === 'workspaces') return 1;
  return { vcpus: charge.vcpus, memory_mb: charge.memoryMb, disk_gb: charge.diskGb }[name];
}

function exceeded(
  what: string,
  { current, limit }: { readonly current: number; readonly limit: number },
  requested: number,
): CoppiceError {
  return new CoppiceError({
    code: 'quota_exceeded',
    message: `quota exceeded: ${what} (limit ${String(limit)}, current ${String(current)}, requested ${String(requested)})`,
    next: 'Destroy workspaces you no longer need (workspace_destroy), ask for smaller ones, or let the owner of this host raise the limit in the configuration.',
    details: { limit, current, requested },
  });
}
