import { limits } from '../../../protocol/limits.ts';
import type { Pool } from '../../workspaces/pool.ts';
import type { WorkspaceServices } from '../../workspaces/services.ts';
import type { Templates } from '../../workspaces/templates.ts';
import type { Handlers } from '../handlerTypes.ts';

type PoolHandlers = Pick<Handlers, 'pool_status' | 'pool_set' | 'pool_prepare'>;

export function poolHandlers(
  services: WorkspaceServices,
  { templates, pool }: { readonly templates: Templates; readonly pool: Pool },
): PoolHandlers {
  return {
    async pool_status() {
      return pool.status();
    },
    async pool_set(input) {
      if (input.templates !== undefined) templates.setEnabled(input.templates === 'on');
      pool.set({
        ...(input.size === undefined ? {} : { size: input.size }),
        ...(input.memory_budget_mb === undefined ? {} : { memoryBudgetMb: input.memory_budget_mb }),
      });
      return pool.status();
    },
    async pool_prepare(input, { signal, progress }) {
      const kind = {
        image: await services.images.require(input.base_image),
        vcpus: input.vcpus ?? limits.vcpus.default,
        memoryMb: input.memory_mb ?? limits.memoryMb.default,
        diskGb: input.disk_gb ?? limits.diskGb.default,
      };
      const rebuild = input.rebuild ?? false;
      return await templates.prepare(kind, { signal, progress, rebuild });
    },
  };
}
