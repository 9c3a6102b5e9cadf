/** `coppice.workspace.stop`: shuts a workspace down; its disk stays. */
import type { Services } from '../../services.ts';
import { pickWorkspace } from '../pickWorkspace.ts';
import { withProgress } from '../progress.ts';

export async function stopWorkspace(services: Services, target?: unknown): Promise<void> {
  const workspace = await pickWorkspace(services, target, {
    title: 'Stop Workspace',
    states: ['running'],
  });
  if (workspace === undefined) return;
  const client = await services.daemon.client();
  await withProgress(`Stopping ${workspace.name}`, (options) =>
    client.call('workspace_stop', { workspace_id: workspace.workspace_id }, options),
  );
}
