/** Read-only documents with the console of a workspace: `coppice-console:/<name>.log?<id>`. */
import * as vscode from 'vscode';
import { asCoppiceError } from '../../protocol/errors.ts';
import { limits } from '../../protocol/limits.ts';
import type { WorkspaceSummary } from '../../protocol/operations/workspaceModel.ts';
import type { DaemonConnection } from '../helper/connection.ts';
import { plainText } from './plainText.ts';

const scheme = 'coppice-console';

export interface ConsoleDocuments {
  /** Reads the console again the next time it is shown, and in editors that show it now. */
  refresh(uri: vscode.Uri): void;
  dispose(): void;
}

export function consoleUri(workspace: WorkspaceSummary): vscode.Uri {
  return vscode.Uri.from({
    scheme,
    path: `/${workspace.name}.log`,
    query: workspace.workspace_id,
  });
}

export function consoleDocuments(daemon: DaemonConnection): ConsoleDocuments {
  const changed = new vscode.EventEmitter<vscode.Uri>();
  const registration = vscode.workspace.registerTextDocumentContentProvider(scheme, {
    onDidChange: changed.event,
    async provideTextDocumentContent(uri) {
      try {
        const client = await daemon.client();
        const { console = '', stderr = '' } = await client.call('workspace_logs', {
          workspace_id: uri.query,
          log_type: 'all',
          max_lines: limits.logLines.max,
        });
        const parts = [plainText(console)];
        if (stderr.trim() !== '') parts.push(`\n── QEMU ──\n${plainText(stderr)}`);
        return parts.join('');
      } catch (error) {
        const { message, next = '' } = asCoppiceError(error);
        return `The console cannot be read: ${message}\n${next}\n`;
      }
    },
  });
  return {
    refresh: (uri) => changed.fire(uri),
    dispose() {
      registration.dispose();
      changed.dispose();
    },
  };
}
