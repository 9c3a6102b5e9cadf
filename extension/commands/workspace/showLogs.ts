/** `coppice.workspace.showLogs`: what a workspace wrote on its console, as a read-only document. */
import * as vscode from 'vscode';
import { consoleUri } from '../../documents/consoleDocuments.ts';
import type { Services } from '../../services.ts';
import { pickWorkspace } from '../pickWorkspace.ts';

export async function showLogs(services: Services, target?: unknown): Promise<void> {
  const workspace = await pickWorkspace(services, target, { title: 'Show Console Log' });
  if (workspace === undefined) return;
  const uri = consoleUri(workspace);
  services.consoles.refresh(uri);
  const document = await vscode.workspace.openTextDocument(uri);
  await vscode.languages.setTextDocumentLanguage(document, 'log');
  const editor = await vscode.window.showTextDocument(document, { preview: true });
  const end = document.lineAt(document.lineCount - 1).range;
  editor.revealRange(end);
}
