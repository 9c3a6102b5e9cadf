/** Whether memory that was kept can be continued on this host, asked before anything is given up for it. */
import { bindingMismatch } from '../engine/memory/binding.ts';
import type { WorkspaceRecord } from '../store/workspaceStore.ts';
import { CoppiceError } from '../../protocol/errors.ts';
import { guestVersions } from '../workspaces/guestVersions.ts';
import { requireCompatible } from '../workspaces/memories.ts';
import { cardOfThisHost } from '../workspaces/network.ts';
import type { WorkspaceServices } from '../workspaces/services.ts';

/** @throws CoppiceError `snapshot_incompatible`, `memory_missing`, `memory_corrupt`, `no_memory` */
export async function requireContinuable(
  services: WorkspaceServices,
  workspace: WorkspaceRecord,
  what: string,
  memoryId: string,
): Promise<void> {
  const stored = services.tree.memory(memoryId);
  if (stored === undefined) {
    throw new CoppiceError({
      code: 'memory_missing',
      message: `The memory of ${what} is not known any more.`,
      next: 'Its disk is whole: boot from it with --boot (boot: true).',
    });
  }
  const binding = await services.engine.binding({
    vcpus: workspace.vcpus,
    memoryMb: workspace.memoryMb,
    accelerator: await services.engine.accelerator(),
    transport: { kind: 'virtio-serial' },
    network: cardOfThisHost(services),
  });
  const is = { ...binding, ...guestVersions(await services.bootAssets()) };
  requireCompatible(what, bindingMismatch(stored.binding, is));
  // Reads and checks every byte of the file, unless it is loaded already.
  await services.memories.use(memoryId, () => Promise.resolve());
}
