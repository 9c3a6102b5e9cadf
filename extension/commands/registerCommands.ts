/** Binds every command of the manifest to its handler; one that is missing does not compile. */
import * as vscode from 'vscode';
import { commands, type CommandId } from '../manifest/commands.ts';
import type { Services } from '../services.ts';
import { runDoctor } from './daemon/doctor.ts';
import { retryConnection } from './daemon/retry.ts';
import { showLog } from './daemon/showLog.ts';
import { reportError } from './reportError.ts';
import { createWorkspace } from './workspace/create.ts';
import { destroyWorkspace } from './workspace/destroy.ts';
import { openTerminal } from './workspace/openTerminal.ts';
import { refreshWorkspaces } from './workspace/refresh.ts';
import { showLogs } from './workspace/showLogs.ts';
import { startWorkspace } from './workspace/start.ts';
import { stopWorkspace } from './workspace/stop.ts';

/** `target` is whatever VS Code passes: a tree row, the argument of a key binding, or nothing. */
type Handler = (services: Services, target?: unknown) => Promise<void>;

const handlers: Readonly<Record<CommandId, Handler>> = {
  'coppice.workspace.create': createWorkspace,
  'coppice.workspace.openTerminal': openTerminal,
  'coppice.workspace.start': startWorkspace,
  'coppice.workspace.stop': stopWorkspace,
  'coppice.workspace.showLogs': showLogs,
  'coppice.workspace.destroy': destroyWorkspace,
  'coppice.workspace.refresh': refreshWorkspaces,
  'coppice.doctor': runDoctor,
  'coppice.daemon.retry': retryConnection,
  'coppice.daemon.showLog': showLog,
};

export function registerCommands(services: Services): vscode.Disposable {
  const registrations = commands.map(({ id, title }) =>
    vscode.commands.registerCommand(id, async (target?: unknown) => {
      try {
        await handlers[id](services, target);
      } catch (error) {
        reportError(title.replace(/…$/, ''), error, services.log);
      }
    }),
  );
  return vscode.Disposable.from(...registrations);
}
