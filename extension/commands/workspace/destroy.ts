/** `coppice.workspace.destroy`: deletes a workspace and its disk, after the user said so. */
import * as vscode from 'vscode';
import type { Services } from '../../services.ts';
import { pickWorkspace } from '../pickWorkspace.ts';
import { withProgress } from '../progress.ts';

export async function destroyWorkspace(services: Services, target?: unknown): Promise<void> {
  const workspace = await pickWorkspace(services, target, { title: 'Destroy Workspace' });
  if (workspace === undefined) return;
  const confirm = 'Destroy';
  const answer = await vscode.window.showWarningMessage(
    `Destroy ${workspace.name}?`,
    {
      modal: true,
      detail: 'The machine is stopped and its disk is deleted. This cannot be undone.',
    },
    confirm,
  );
  if (answer !== confirm) return;
  const client = await services.daemon.client();
  await withProgress(`Destroying ${workspace.name}`, (options) =>
    client.call('workspace_destroy', { workspace_id: workspace.workspace_id }, options),
  );
}
