/** What VS Code calls. */
import type * as vscode from 'vscode';
import type { CoppiceApi } from './api.ts';
import { buildContainer } from './container.ts';

export function activate(context: vscode.ExtensionContext): CoppiceApi {
  return buildContainer(context);
}
