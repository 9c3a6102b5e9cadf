/**
 * Which kernel and agent a guest runs. Memory brings its own: it only continues where the host has the same, so that
 * the daemon never talks to an agent of another version than it was built with.
 */
import { bindingMismatch } from '../engine/memory/binding.ts';
import type { BootAssets } from '../images/bootAssets.ts';
import type { MachineRunRecord } from '../store/runStore.ts';
import type { WorkspaceRecord } from '../store/workspaceStore.ts';
import { requireCompatible } from './memories.ts';
import type { WorkspaceServices } from './services.ts';

export type GuestVersions = MachineRunRecord['guest'];

export function guestVersions(assets: BootAssets): GuestVersions {
  return {
    'guest kernel': `${assets.kernelRelease} ${assets.vmlinuxSha256.slice(0, 12)}`,
    'guest agent': `${assets.agentVersion} ${assets.initramfsSha256.slice(0, 12)}`,
  };
}

/**
 * Memory that is taken now could be continued. @throws CoppiceError `snapshot_incompatible` for a machine that
 * was booted before an update
 */
export async function requireCurrentGuest(
  services: WorkspaceServices,
  record: WorkspaceRecord,
  guest: GuestVersions,
): Promise<void> {
  const present = guestVersions(await services.bootAssets());
  requireCompatible(record.name, bindingMismatch(guest, present));
}
