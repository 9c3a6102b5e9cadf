/** The tree of workspaces. It is redrawn by changes of the model only; nothing polls. */
import * as vscode from 'vscode';
import type { ConnectionState, DaemonConnection } from '../../helper/connection.ts';
import type { ModelChange, WorkspaceModel } from '../../helper/workspaceModel.ts';
import { connectionContext, workspacesView, type ConnectionKey } from '../../manifest/views.ts';
import { workspaceItem, type WorkspaceNode } from './workspaceNode.ts';

export interface WorkspacesTree {
  onModelChange(change: ModelChange): void;
  onConnectionState(state: ConnectionState): void;
  dispose(): void;
}

export function workspacesTree(daemon: DaemonConnection, model: WorkspaceModel): WorkspacesTree {
  const changed = new vscode.EventEmitter<WorkspaceNode | undefined>();
  const nodes = new Map<string, WorkspaceNode>();

  function nodeOf(id: string): WorkspaceNode {
    const node = nodes.get(id) ?? { kind: 'workspace', id };
    nodes.set(id, node);
    return node;
  }

  const view = vscode.window.createTreeView<WorkspaceNode>(workspacesView, {
    treeDataProvider: {
      onDidChangeTreeData: changed.event,
      async getChildren(node) {
        if (node !== undefined) return [];
        // The first look connects; later ones show what is known.
        if (daemon.state().kind === 'idle') await daemon.client().catch(() => undefined);
        return isShown(daemon.state()) ? model.list().map((item) => nodeOf(item.workspace_id)) : [];
      },
      getTreeItem(node) {
        const workspace = model.get(node.id);
        return workspace === undefined ? new vscode.TreeItem('') : workspaceItem(node, workspace);
      },
      getParent: () => undefined,
    },
    showCollapseAll: false,
  });

  return {
    onModelChange(change) {
      if (change !== 'list') {
        changed.fire(nodeOf(change.id));
        return;
      }
      for (const id of nodes.keys()) if (model.get(id) === undefined) nodes.delete(id);
      changed.fire(undefined);
    },
    onConnectionState(state) {
      void vscode.commands.executeCommand('setContext', connectionContext, contextOf(state));
      const reconnecting = state.kind === 'connecting' && model.list().length > 0;
      view.message = reconnecting ? 'Connecting to the Coppice daemon again…' : '';
      changed.fire(undefined);
    },
    dispose() {
      view.dispose();
      changed.dispose();
    },
  };
}

/** While a lost connection is made again the last known rows stay. */
function isShown(state: ConnectionState): boolean {
  return state.kind === 'connected' || state.kind === 'connecting';
}

function contextOf(state: ConnectionState): ConnectionKey {
  return state.kind === 'idle' ? 'connecting' : state.kind;
}
