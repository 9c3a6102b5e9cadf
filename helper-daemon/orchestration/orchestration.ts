/** Preparing machines and running swarms of them, as one part of the daemon. */
import path from 'node:path';
import type { PreparedStore, SwarmStore } from '../store/orchestrationStore.ts';
import type { Pool } from '../workspaces/pool.ts';
import type { WorkspaceServices } from '../workspaces/services.ts';
import type { Templates } from '../workspaces/templates.ts';
import { prepareHost } from './prepare/host.ts';
import { prepares as openPrepares, type Prepares } from './prepare/prepare.ts';
import { recoverPrepares } from './prepare/recover.ts';
import { swarmHost, type Merge, type SwarmHost } from './swarm/host.ts';
import { swarms as openSwarms, type Swarms } from './swarm/swarms.ts';

export interface Orchestration {
  readonly prepares: Prepares;
  readonly swarms: Swarms;
  /** Takes back or goes on with what another daemon had begun; before calls are taken. */
  recover(): Promise<void>;
  isIdle(): boolean;
  /** While machines can still be reached. */
  close(): Promise<void>;
}

export function openOrchestration(
  services: WorkspaceServices,
  parts: {
    readonly prepared: PreparedStore;
    readonly swarms: SwarmStore;
    readonly templates: Templates;
    readonly pool: Pool;
    readonly merge: Merge | undefined;
    readonly vault: SwarmHost['vault'];
  },
): Orchestration {
  const swarms = openSwarms(
    swarmHost(services, {
      rows: parts.swarms,
      merge: parts.merge,
      vault: parts.vault,
      directory: path.join(services.paths.state, 'swarms'),
    }),
  );
  const host = prepareHost(services, {
    rows: parts.prepared,
    templates: parts.templates,
    pool: parts.pool,
    isInUse: (snapshotId) => swarms.isInUse(snapshotId),
  });
  const prepares = openPrepares(host);
  return {
    prepares,
    swarms,
    async recover() {
      await recoverPrepares(host);
      swarms.recover();
    },
    isIdle: () => prepares.underWay() + swarms.underWay() === 0,
    async close() {
      await Promise.all([prepares.close(), swarms.close()]);
    },
  };
}
