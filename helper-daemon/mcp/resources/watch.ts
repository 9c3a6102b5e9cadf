/** Follows the daemon's events for a client of resources. */
import type { DaemonLink } from '../daemonLink.ts';
import { tellChanges, type KnownWorkspaces } from './changes.ts';

export interface ChangeReceiver {
  wants(uri: string): boolean;
  updated(uri: string): void;
  listChanged(): void;
}

/** @returns stops it */
export function watchResources(link: DaemonLink, receiver: ChangeReceiver): () => void {
  const known: KnownWorkspaces = new Map();
  const teller = tellChanges({ known, ...receiver });
  link.watch(teller.take);
  link
    .call('workspace_list', {})
    .then((workspaces) => {
      for (const { workspace_id, name } of workspaces) known.set(workspace_id, name);
    })
    // Without it, snapshots are announced under the id of their workspace only.
    .catch(() => undefined);
  return teller.close;
}
