/** `coppice.workspace.showLogs`: what a workspace wrote on its console, as a read-only document. */
import { consoleUri } from '../../documents/readOnlyDocuments.ts';
import type { Services } from '../../services.ts';
import { pickWorkspace } from '../pickWorkspace.ts';

export async function showLogs(services: Services, target?: unknown): Promise<void> {
  const workspace = await pickWorkspace(services, target, { title: 'Show Console Log' });
  if (workspace === undefined) return;
  const editor = await services.documents.show(consoleUri(workspace), 'log');
  // The end is what people look for in a log.
  editor.revealRange(editor.document.lineAt(editor.document.lineCount - 1).range);
}
