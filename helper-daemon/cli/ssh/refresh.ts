/** Brings the SSH files in line with the machines that exist. */
import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { isUuid } from '../../../protocol/names.ts';
import type { WorkspaceSummary } from '../../../protocol/operations/workspaceModel.ts';
import type { CoppiceClient } from '../../client/client.ts';
import { renderConfig, startsMachines } from './config.ts';
import { readText, replaceFile } from './files.ts';
import { changing, type SshFolder } from './folder.ts';
import { withoutOthers } from './knownHosts.ts';
import { proxyWords } from './self.ts';

export interface Refreshed {
  readonly config: string;
  readonly workspaces: readonly WorkspaceSummary[];
  /** Whether connections start stopped machines. */
  readonly start: boolean;
}

/**
 * Writes the config, and removes keys of machines that are gone.
 * @param start undefined: as it was
 */
export async function refresh(
  folder: SshFolder,
  client: CoppiceClient,
  start?: boolean,
): Promise<Refreshed> {
  return await changing(folder, async () => {
    // Asked for under the lock: whoever comes second knows no less than who came first.
    const workspaces = await client.call('workspace_list', {});
    const old = await readText(folder.config);
    const starting = start ?? startsMachines(old);
    const config = renderConfig({ folder, workspaces, proxy: proxyWords(), start: starting });
    if (config !== old) await replaceFile(folder.config, config, 0o600);
    await forgetOthers(folder, new Set(workspaces.map(({ workspace_id }) => workspace_id)));
    return { config, workspaces, start: starting };
  });
}

async function forgetOthers(folder: SshFolder, ids: ReadonlySet<string>): Promise<void> {
  for (const name of await readdir(folder.root)) {
    if (!isUuid(name) || ids.has(name)) continue;
    await rm(path.join(folder.root, name), { recursive: true, force: true });
  }
  const text = await readText(folder.knownHosts);
  const kept = withoutOthers(text, ids);
  if (kept !== text) await replaceFile(folder.knownHosts, kept, 0o600);
}
