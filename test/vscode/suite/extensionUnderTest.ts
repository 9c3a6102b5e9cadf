/** What the suites share: the activated extension, and a client of the same daemon beside it. */
import * as vscode from 'vscode';
import type { CoppiceApi } from '../../../extension/api.ts';
import { connectClient, type CoppiceClient } from '../../../helper-daemon/client/client.ts';
import { hostPaths } from '../../../helper-daemon/system/paths.ts';
import type { WorkspaceSummary } from '../../../protocol/operations/workspaceModel.ts';

const extensionId = 'coppice.coppice';

export function extensionUnderTest(): vscode.Extension<CoppiceApi> {
  const extension = vscode.extensions.getExtension<CoppiceApi>(extensionId);
  if (extension === undefined) throw new Error(`${extensionId} is not installed.`);
  return extension;
}

/** Shows the view, as a user would; that is what connects. */
export async function connectedApi(): Promise<CoppiceApi> {
  const api = await extensionUnderTest().activate();
  await vscode.commands.executeCommand('coppice.workspaces.focus');
  await until('the extension is connected', () => api.connection() === 'connected');
  return api;
}

export async function otherClient(): Promise<CoppiceClient> {
  return await connectClient(hostPaths('user').socket, { name: 'suite', version: '0' });
}

export function workspaceNamed(api: CoppiceApi, name: string): WorkspaceSummary | undefined {
  return api.workspaces().find((workspace) => workspace.name === name);
}

export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  deadlineMs = 60_000,
): Promise<void> {
  const end = Date.now() + deadlineMs;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`Not within ${deadlineMs} ms: ${what}.`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
