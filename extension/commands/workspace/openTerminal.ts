/** `coppice.workspace.openTerminal`: a shell in a workspace. */
import type { Services } from '../../services.ts';
import { pickWorkspace } from '../pickWorkspace.ts';

export async function openTerminal(services: Services, target?: unknown): Promise<void> {
  const workspace = await pickWorkspace(services, target, {
    title: 'Open Terminal',
    states: ['running'],
  });
  if (workspace !== undefined) services.terminals.open(workspace.workspace_id, workspace.name);
}
