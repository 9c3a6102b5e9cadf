/** What the daemon's events mean for resources, and telling a client of those it wants to know about. */
import type { CoppiceEvent } from '../../../protocol/events.ts';
import { auditUri, workspacesUri, workspaceUri } from './uris.ts';

/** Names of workspaces by id. */
export type KnownWorkspaces = Map<string, string>;

interface Changes {
  readonly updated: readonly string[];
  /** A resource has come or gone. */
  readonly list: boolean;
}

/** Keeps `known` up to date, too. */
export function changesOf(event: CoppiceEvent, known: KnownWorkspaces): Changes {
  switch (event.type) {
    case 'workspace_changed': {
      const { workspace_id, name } = event.workspace;
      const fresh = known.get(workspace_id) !== name;
      known.set(workspace_id, name);
      return { updated: [workspacesUri, ...bothSpellings(workspace_id, name)], list: fresh };
    }
    case 'workspace_removed':
      known.delete(event.workspace_id);
      return {
        updated: [workspacesUri, ...bothSpellings(event.workspace_id, event.name)],
        list: true,
      };
    case 'snapshot_changed':
    case 'snapshot_removed': {
      const id =
        event.type === 'snapshot_changed' ? event.snapshot.workspace_id : event.workspace_id;
      return { updated: bothSpellings(id, known.get(id), 'snapshots'), list: false };
    }
    case 'network_changed':
    case 'ports_changed':
      return {
        updated: bothSpellings(event.workspace_id, known.get(event.workspace_id)),
        list: false,
      };
    case 'audit_appended':
      return { updated: [auditUri], list: false };
    default:
      return { updated: [], list: false };
  }
}

function bothSpellings(id: string, name: string | undefined, part?: 'snapshots'): string[] {
  const uris = [workspaceUri(id, part)];
  return name === undefined ? uris : [...uris, workspaceUri(name, part)];
}

/** Everything that may have changed when events were missed. */
function everything(known: KnownWorkspaces): string[] {
  const each = [...known].flatMap(([id, name]) => [
    ...bothSpellings(id, name),
    ...bothSpellings(id, name, 'snapshots'),
  ]);
  return [workspacesUri, auditUri, ...each];
}

/** Milliseconds that changes are collected: a machine that boots changes several times. */
const gathering = 100;

/** @returns takes events; undefined: some were missed */
export function tellChanges(client: {
  readonly known: KnownWorkspaces;
  wants(uri: string): boolean;
  updated(uri: string): void;
  listChanged(): void;
}): (event: CoppiceEvent | undefined) => void {
  const waiting = new Set<string>();
  let list = false;
  let timer: NodeJS.Timeout | undefined;

  function flush(): void {
    timer = undefined;
    const uris = [...waiting];
    waiting.clear();
    if (list) client.listChanged();
    list = false;
    for (const uri of uris) client.updated(uri);
  }

  return (event) => {
    const changes =
      event === undefined
        ? { updated: everything(client.known), list: true }
        : changesOf(event, client.known);
    for (const uri of changes.updated) if (client.wants(uri)) waiting.add(uri);
    list ||= changes.list;
    if (waiting.size > 0 || list) timer ??= setTimeout(flush, gathering);
  };
}
