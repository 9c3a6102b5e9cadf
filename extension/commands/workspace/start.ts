/** `coppice.workspace.start`: boots a stopped workspace. */
import type { Services } from '../../services.ts';
import { pickWorkspace } from '../pickWorkspace.ts';
import { withProgress } from '../progress.ts';

export async function startWorkspace(services: Services, target?: unknown): Promise<void> {
  const workspace = await pickWorkspace(services, target, {
    title: 'Start Workspace',
    states: ['stopped', 'suspended'],
  });
  if (workspace === undefined) return;
  const client = await services.daemon.client();
  await withProgress(`Starting ${workspace.name}`, (options) =>
    client.call('workspace_start', { workspace_id: workspace.workspace_id }, options),
  );
}
