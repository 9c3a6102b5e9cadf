/** What `activate` returns to other extensions and to tests. */
import type * as vscode from 'vscode';
import type { WorkspaceSummary } from '../protocol/operations/workspaceModel.ts';
import type { ConnectionState } from './helper/connection.ts';

export interface CoppiceApi {
  readonly version: 1;
  /** As the tree shows them. */
  workspaces(): readonly WorkspaceSummary[];
  readonly onDidChangeWorkspaces: vscode.Event<void>;
  connection(): ConnectionState['kind'];
}
