/** The workspace a command works on: the row it was called on, or one the user picks. */
import * as vscode from 'vscode';
import { CoppiceError } from '../../protocol/errors.ts';
import type { WorkspaceState, WorkspaceSummary } from '../../protocol/operations/workspaceModel.ts';
import type { Services } from '../services.ts';
import { isWorkspaceNode } from '../views/workspaces/workspaceNode.ts';

export interface PickOptions {
  readonly title: string;
  /** Offer only these. */
  readonly states?: readonly WorkspaceState[];
}

/**
 * @param target what VS Code passed to the command: a row, a name or id (key bindings), or nothing
 * @returns undefined when the user changed their mind
 */
export async function pickWorkspace(
  services: Services,
  target: unknown,
  { title, states }: PickOptions,
): Promise<WorkspaceSummary | undefined> {
  await services.daemon.client();
  const all = services.workspaces.list();
  if (isWorkspaceNode(target) || typeof target === 'string') {
    const key = typeof target === 'string' ? target : target.id;
    const found = all.find(({ workspace_id, name }) => workspace_id === key || name === key);
    if (found !== undefined) return found;
    throw new CoppiceError({
      code: 'not_found',
      message: `There is no workspace ${key} any more.`,
    });
  }
  const offered = all.filter(({ state }) => states?.includes(state) !== false);
  if (offered.length === 0) {
    throw new CoppiceError({
      code: 'not_found',
      message:
        states === undefined ? 'There is no workspace.' : `No workspace is ${states.join(' or ')}.`,
      next: all.length === 0 ? 'Create one first.' : 'Look at the Workspaces view.',
    });
  }
  const picked = await vscode.window.showQuickPick(
    offered.map((workspace) => ({
      label: workspace.name,
      description: `${workspace.state} · ${workspace.base_image}`,
      workspace,
    })),
    { title, placeHolder: 'Choose a workspace', matchOnDescription: true },
  );
  return picked?.workspace;
}
