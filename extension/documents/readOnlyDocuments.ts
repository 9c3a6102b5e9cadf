/**
 * Documents that the daemon writes and nobody edits: `coppice-text://console/<name>.log?<id>` and
 * `coppice-text://doctor/Doctor.txt`. Their place says what they hold, so that they survive a reload.
 */
import * as vscode from 'vscode';
import type { CoppiceClient } from '../../helper-daemon/client/client.ts';
import { asCoppiceError } from '../../protocol/errors.ts';
import { limits } from '../../protocol/limits.ts';
import type { WorkspaceSummary } from '../../protocol/operations/workspaceModel.ts';
import type { DaemonConnection } from '../helper/connection.ts';
import { doctorText } from './doctorText.ts';
import { plainText } from './plainText.ts';

const scheme = 'coppice-text';

export interface ReadOnlyDocuments {
  /** Reads the document anew and shows it. */
  show(uri: vscode.Uri, language?: string): Promise<vscode.TextEditor>;
  dispose(): void;
}

export const doctorUri = vscode.Uri.from({ scheme, authority: 'doctor', path: '/Doctor.txt' });

export function consoleUri(workspace: WorkspaceSummary): vscode.Uri {
  const path = `/${workspace.name}.log`;
  return vscode.Uri.from({ scheme, authority: 'console', path, query: workspace.workspace_id });
}

type Loader = (client: CoppiceClient, uri: vscode.Uri) => Promise<string>;

const loaders: Readonly<Record<string, Loader>> = {
  console: async (client, uri) => {
    const { console = '', stderr = '' } = await client.call('workspace_logs', {
      workspace_id: uri.query,
      log_type: 'all',
      max_lines: limits.logLines.max,
    });
    const machine = stderr.trim() === '' ? '' : `\n── QEMU ──\n${plainText(stderr)}`;
    return plainText(console) + machine;
  },
  doctor: async (client) => doctorText(await client.call('daemon_doctor', {})),
};

export function readOnlyDocuments(daemon: DaemonConnection): ReadOnlyDocuments {
  const changed = new vscode.EventEmitter<vscode.Uri>();
  const registration = vscode.workspace.registerTextDocumentContentProvider(scheme, {
    onDidChange: changed.event,
    async provideTextDocumentContent(uri) {
      try {
        return (await loaders[uri.authority]?.(await daemon.client(), uri)) ?? '';
      } catch (error) {
        const { message, next = '' } = asCoppiceError(error);
        return `This cannot be shown: ${message}\n${next}\n`;
      }
    },
  });
  return {
    async show(uri, language) {
      const isOpen = vscode.workspace.textDocuments.some(
        (document) => document.uri.toString() === uri.toString(),
      );
      if (isOpen) changed.fire(uri);
      const document = await vscode.workspace.openTextDocument(uri);
      if (language !== undefined) {
        await vscode.languages.setTextDocumentLanguage(document, language);
      }
      return await vscode.window.showTextDocument(document, { preview: true });
    },
    dispose() {
      registration.dispose();
      changed.dispose();
    },
  };
}
