/** What commands and views work with; container.ts puts it together. */
import type * as vscode from 'vscode';
import type { ReadOnlyDocuments } from './documents/readOnlyDocuments.ts';
import type { DaemonConnection } from './helper/connection.ts';
import type { WorkspaceModel } from './helper/workspaceModel.ts';
import type { MachineTerminals } from './terminals/machineTerminals.ts';

export interface Services {
  readonly daemon: DaemonConnection;
  readonly workspaces: WorkspaceModel;
  readonly documents: ReadOnlyDocuments;
  readonly terminals: MachineTerminals;
  readonly log: vscode.LogOutputChannel;
}
