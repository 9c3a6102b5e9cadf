/** How much one caller may have, checked in the transaction that stores a new workspace. */
import { CoppiceError } from '../../protocol/errors.ts';
import type { DaemonConfig, QuotaLimits } from '../system/config.ts';
import type { WorkspaceRecord, WorkspaceStore } from '../store/workspaceStore.ts';
import { callerOf } from './callers.ts';

/** What a workspace counts for. */
export type Charge = Pick<WorkspaceRecord, 'vcpus' | 'memoryMb' | 'diskGb'> & {
  readonly owner?: string | null;
  readonly role?: WorkspaceRecord['role'];
};

export interface Quotas {
  /** @throws CoppiceError `quota_exceeded` when `owner` may not have `charge` beside what it has, `count` times over */
  require(charge: Charge, count?: number): void;
}

type Kind = keyof QuotaLimits;

const names: Readonly<Record<Kind, string>> = {
  workspaces: 'workspaces',
  vcpus: 'vcpus',
  memoryMb: 'memory_mb',
  diskGb: 'disk_gb',
};

export function quotas(
  store: WorkspaceStore,
  config: Pick<DaemonConfig, 'quota' | 'resources'>,
): Quotas {
  return {
    require(charge, count = 1) {
      if (charge.role !== undefined && charge.role !== 'user') return;
      const total = store.visible().length;
      if (total + count > config.resources.maxWorkspaces) {
        throw exceeded('workspaces of this host', config.resources.maxWorkspaces, total, count);
      }
      if (charge.owner === undefined || charge.owner === null) return;
      const limits =
        callerOf(charge.owner).agent === null ? config.quota.person : config.quota.agent;
      if (Object.values(limits).every((limit) => limit === null)) return;
      const owned = store.ownedBy(charge.owner);
      for (const kind of Object.keys(names) as Kind[]) {
        const limit = limits[kind];
        if (limit === null) continue;
        const amount = (of: Charge): number => (kind === 'workspaces' ? 1 : of[kind]);
        const current = owned.reduce((sum, record) => sum + amount(record), 0);
        const wanted = amount(charge) * count;
        if (current + wanted > limit) throw exceeded(names[kind], limit, current, wanted);
      }
    },
  };
}

function exceeded(what: string, limit: number, current: number, requested: number): CoppiceError {
  return new CoppiceError({
    code: 'quota_exceeded',
    message: `quota exceeded: ${what} (limit ${String(limit)}, current ${String(current)}, requested ${String(requested)})`,
    next: 'Destroy workspaces you no longer need (workspace_destroy), ask for smaller ones, or let the owner of this host raise the limit in its configuration.',
    details: { limit, current, requested },
  });
}
