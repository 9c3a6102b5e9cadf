/** Follows the daemon's events for a client of resources. */
import type { DaemonLink } from '../daemonLink.ts';
import { tellChanges, type KnownWorkspaces } from './changes.ts';

export interface ChangeReceiver {
  wants(uri: string): boolean;
  updated(uri: string): void;
  listChanged(): void;
}

/** Resolves when changes from now on are told; it goes on until the link is closed. */
export async function watchResources(link: DaemonLink, receiver: ChangeReceiver): Promise<void> {
  const known: KnownWorkspaces = new Map();
  await link.watch(tellChanges({ known, ...receiver }));
  // Without names, snapshots are announced under the id of their workspace only.
  const workspaces = await link.call('workspace_list', {}).catch(() => []);
  for (const { workspace_id, name } of workspaces) known.set(workspace_id, name);
}
