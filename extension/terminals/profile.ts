/** The profile in the terminal menu: a shell in a workspace instead of on this computer. */
import * as vscode from 'vscode';
import { pickWorkspace } from '../commands/pickWorkspace.ts';
import { reportError } from '../commands/reportError.ts';
import { terminalProfile } from '../manifest/views.ts';
import type { Services } from '../services.ts';

export function registerTerminalProfile(services: Services): vscode.Disposable {
  return vscode.window.registerTerminalProfileProvider(terminalProfile, {
    async provideTerminalProfile() {
      const running = services.workspaces.list().filter(({ state }) => state === 'running');
      try {
        const [only] = running.length === 1 ? running : [];
        const workspace =
          only ??
          (await pickWorkspace(services, undefined, {
            title: 'New Terminal in a Workspace',
            states: ['running'],
          }));
        if (workspace === undefined) return undefined;
        const { workspace_id, name } = workspace;
        return new vscode.TerminalProfile(services.terminals.optionsFor(workspace_id, name));
      } catch (error) {
        reportError('No terminal', error, services.log);
        return undefined;
      }
    },
  });
}
