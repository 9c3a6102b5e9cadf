/** What the extension knows about workspaces: the last list, kept up to date by events. */
import type { CoppiceEvent } from '../../protocol/events.ts';
import type { WorkspaceSummary } from '../../protocol/operations/workspaceModel.ts';

export interface WorkspaceModel {
  /** By name, as people read them: ws-2 before ws-10. */
  list(): readonly WorkspaceSummary[];
  get(id: string): WorkspaceSummary | undefined;
  replaceAll(workspaces: readonly WorkspaceSummary[]): void;
  apply(event: CoppiceEvent): void;
}

/** What changed: one workspace's facts, or which workspaces there are. */
export type ModelChange = { readonly id: string } | 'list';

const byName = new Intl.Collator(undefined, { numeric: true });

export function workspaceModel(onChange: (change: ModelChange) => void): WorkspaceModel {
  const known = new Map<string, WorkspaceSummary>();

  return {
    list: () => [...known.values()].sort((a, b) => byName.compare(a.name, b.name)),
    get: (id) => known.get(id),
    replaceAll(workspaces) {
      known.clear();
      for (const workspace of workspaces) known.set(workspace.workspace_id, workspace);
      onChange('list');
    },
    apply(event) {
      if (event.type === 'workspace_changed') {
        const { workspace } = event;
        const before = known.get(workspace.workspace_id);
        known.set(workspace.workspace_id, workspace);
        onChange(before?.name === workspace.name ? { id: workspace.workspace_id } : 'list');
      } else if (event.type === 'workspace_removed') {
        if (known.delete(event.workspace_id)) onChange('list');
      }
    },
  };
}
