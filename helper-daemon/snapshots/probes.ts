/**
 * Small machines that look at the files of a layer. A file system a hostile guest has written is never read
 * by the host itself; it is booted in a machine of its own, over a head that is thrown away, and asked there.
 */
import { randomUUID } from 'node:crypto';
import type { GuestClients } from '../guest/guestLink.ts';
import type { WorkspaceRecord } from '../store/workspaceStore.ts';
import { bringUp } from '../workspaces/bringUp.ts';
import { destroyWorkspace } from '../workspaces/destroy.ts';
import type { WorkspaceServices } from '../workspaces/services.ts';

export interface Probes {
  /**
   * Runs `work` with the services of a machine whose root is what the layer holds.
   * @throws CoppiceError `no_memory`, `boot_failed`, `layer_missing`, `layer_corrupt`
   */
  use<T>(
    workspace: WorkspaceRecord,
    layerId: string,
    work: (clients: GuestClients) => Promise<T>,
  ): Promise<T>;
  close(): Promise<void>;
}

const probeMemoryMb = 256;
/** Whoever looked once often looks again. */
const idleMs = 30_000;

interface Probe {
  readonly id: string;
  readonly ready: Promise<unknown>;
  users: number;
  timer?: NodeJS.Timeout;
}

export function probes(services: WorkspaceServices): Probes {
  const byLayer = new Map<string, Probe>();

  function open(workspace: WorkspaceRecord, layerId: string): Probe {
    const id = randomUUID();
    const ready = bringUp(
      services,
      {
        role: 'probe',
        name: `probe-${id}`,
        imageName: workspace.imageName,
        imageDigest: workspace.imageDigest,
        vcpus: 1,
        memoryMb: probeMemoryMb,
        diskGb: workspace.diskGb,
        init: 'agent',
        storage: workspace.storage,
        baseLayer: layerId,
      },
      { signal: new AbortController().signal, progress: () => undefined, as: 'looker' },
      id,
    );
    const probe: Probe = { id, ready, users: 0 };
    byLayer.set(layerId, probe);
    ready.catch(() => {
      if (byLayer.get(layerId) === probe) byLayer.delete(layerId);
    });
    return probe;
  }

  async function end(layerId: string, probe: Probe): Promise<void> {
    if (byLayer.get(layerId) === probe) byLayer.delete(layerId);
    await probe.ready.catch(() => undefined);
    await destroyWorkspace(services, probe.id, ['probe']).catch(() => undefined);
  }

  return {
    async use(workspace, layerId, work) {
      const known = byLayer.get(layerId);
      const probe = known ?? open(workspace, layerId);
      clearTimeout(probe.timer);
      probe.users += 1;
      try {
        await probe.ready;
        const live = services.machines.get(probe.id);
        if (live === undefined) throw new Error('the machine that looks at the snapshot has gone');
        return await work(await live.link.clients());
      } finally {
        probe.users -= 1;
        if (probe.users === 0) {
          const live = services.machines.get(probe.id) !== undefined;
          probe.timer = setTimeout(() => void end(layerId, probe), live ? idleMs : 0);
          probe.timer.unref();
        }
      }
    },
    async close() {
      await Promise.all(
        [...byLayer].map(([layerId, probe]) => {
          clearTimeout(probe.timer);
          return end(layerId, probe);
        }),
      );
    },
  };
}
