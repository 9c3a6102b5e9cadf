/** One workspace in the tree. */
import * as vscode from 'vscode';
import type { ForkedFrom } from '../../../protocol/operations/snapshotModel.ts';
import type {
  WorkspaceState,
  WorkspaceSummary,
} from '../../../protocol/operations/workspaceModel.ts';

/** What commands get when they are called on a row; stable for as long as the workspace exists. */
export interface WorkspaceNode {
  readonly kind: 'workspace';
  readonly id: string;
}

export function isWorkspaceNode(value: unknown): value is WorkspaceNode {
  return (
    typeof value === 'object' &&
    value !== null &&
    (value as Partial<WorkspaceNode>).kind === 'workspace' &&
    typeof (value as Partial<WorkspaceNode>).id === 'string'
  );
}

const stateIcons: Readonly<Record<WorkspaceState, readonly [icon: string, colour?: string]>> = {
  creating: ['loading~spin'],
  starting: ['loading~spin'],
  running: ['vm-running', 'charts.green'],
  paused: ['debug-pause', 'charts.blue'],
  stopping: ['loading~spin'],
  stopped: ['vm-outline', 'disabledForeground'],
  suspended: ['archive', 'charts.yellow'],
  destroying: ['loading~spin', 'disabledForeground'],
};

/** States a row names; running and stopped are plain from the icon. */
const onTheWay: ReadonlySet<WorkspaceState> = new Set([
  'creating',
  'starting',
  'stopping',
  'destroying',
]);
const atRest: ReadonlySet<WorkspaceState> = new Set(['paused', 'suspended']);

export function workspaceItem(node: WorkspaceNode, workspace: WorkspaceSummary): vscode.TreeItem {
  const item = new vscode.TreeItem(workspace.name, vscode.TreeItemCollapsibleState.None);
  item.id = node.id;
  item.description = describe(workspace);
  item.iconPath = iconOf(workspace);
  item.contextValue = flagsOf(workspace);
  item.tooltip = tooltipOf(workspace);
  item.accessibilityInformation = {
    label: `${workspace.name}, ${workspace.state}, ${workspace.base_image}`,
  };
  return item;
}

function describe(workspace: WorkspaceSummary): string {
  const { vcpus, memory_mb } = workspace.resources;
  const facts = [workspace.base_image, `${vcpus} CPU`, memoryText(memory_mb)];
  if (workspace.problem !== null) facts.unshift('problem');
  else if (atRest.has(workspace.state)) facts.unshift(workspace.state);
  else if (onTheWay.has(workspace.state)) facts.unshift(`${workspace.state}…`);
  return facts.join(' · ');
}

function memoryText(megabytes: number): string {
  if (megabytes < 1024) return `${megabytes} MB`;
  return `${Number((megabytes / 1024).toFixed(1))} GB`;
}

function iconOf(workspace: WorkspaceSummary): vscode.ThemeIcon {
  if (workspace.problem !== null) {
    return new vscode.ThemeIcon('warning', new vscode.ThemeColor('list.warningForeground'));
  }
  const [icon, colour] = stateIcons[workspace.state];
  return new vscode.ThemeIcon(
    icon,
    colour === undefined ? undefined : new vscode.ThemeColor(colour),
  );
}

/** `workspace+running+problem`: menus match single flags. */
function flagsOf(workspace: WorkspaceSummary): string {
  const flags = ['workspace', workspace.state];
  if (workspace.problem !== null) flags.push('problem');
  return flags.join('+');
}

function tooltipOf(workspace: WorkspaceSummary): vscode.MarkdownString {
  const { vcpus, memory_mb, disk_gb } = workspace.resources;
  const text = new vscode.MarkdownString('', true);
  text.appendMarkdown(`**${escape(workspace.name)}** · ${workspace.state}\n\n`);
  if (workspace.problem !== null) {
    text.appendMarkdown(`$(warning) ${escape(workspace.problem)}\n\n`);
  }
  const rows = [
    ['Image', workspace.base_image],
    ['Size', `${vcpus} CPU, ${memoryText(memory_mb)} memory, ${disk_gb} GB disk`],
    ...(workspace.ip === null ? [] : [['Address', workspace.ip]]),
    ...(workspace.snapshot === null ? [] : [['Snapshot', workspace.snapshot]]),
    ...(workspace.forked_from === null ? [] : [['Fork of', originText(workspace.forked_from)]]),
    ['Created', new Date(workspace.created_at).toLocaleString()],
    ...(workspace.expires_at === null
      ? []
      : [['Expires', new Date(workspace.expires_at).toLocaleString()]]),
    ...(workspace.ephemeral ? [['Lives', 'until the client that made it goes away']] : []),
  ];
  text.appendMarkdown('| | |\n|---|---|\n');
  for (const [label = '', value = ''] of rows) {
    text.appendMarkdown(`| ${label} | ${escape(value)} |\n`);
  }
  return text;
}

function originText({ source_workspace_name, snapshot_name }: ForkedFrom): string {
  return `${source_workspace_name} at ${snapshot_name}`;
}

/** Names and problems come from outside and must not become links or markup. */
function escape(text: string): string {
  return text.replace(/[\\`*_{}[\]()#+\-.!|<>$~]/g, String.raw`\$&`).replace(/\s+/g, ' ');
}
