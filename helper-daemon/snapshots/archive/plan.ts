/** Which rows an archive is made of. */
import type { LayerRecord, MemoryRecord, SnapshotRecord } from '../../store/treeStore.ts';
import type { WorkspaceRecord } from '../../store/workspaceStore.ts';
import { chainOf } from '../../workspaces/heads.ts';
import type { WorkspaceServices } from '../../workspaces/services.ts';

export interface ExportPlan {
  readonly workspace: WorkspaceRecord;
  /** Parents before children. */
  readonly layers: readonly LayerRecord[];
  /** Parents before children; each parent is one of them or null. */
  readonly snapshots: readonly SnapshotRecord[];
  readonly memories: readonly MemoryRecord[];
  readonly head: {
    readonly layerId: string;
    readonly snapshotId: string | null;
    readonly diskGb: number;
  };
}

/**
 * Of one snapshot and its ancestors, or of everything, with the present state in the layer the head stands on.
 * @throws CoppiceError `layer_missing`
 */
export function planExport(
  services: WorkspaceServices,
  workspace: WorkspaceRecord,
  only: SnapshotRecord | undefined,
  withMemory: boolean,
): ExportPlan {
  const { tree } = services;
  const all = new Map(tree.snapshotsOf(workspace.id).map((record) => [record.id, record]));
  /** Those that forks made for themselves serve nobody in the archive. */
  const kept = (id: string | null): SnapshotRecord | undefined => {
    let record = id === null ? undefined : all.get(id);
    while (record?.implicit === true && record.id !== only?.id) {
      record = record.parentId === null ? undefined : all.get(record.parentId);
    }
    return record;
  };

  const snapshots = new Map<string, SnapshotRecord>();
  const add = (record: SnapshotRecord | undefined): void => {
    const missing: SnapshotRecord[] = [];
    for (let at = record; at !== undefined && !snapshots.has(at.id); at = kept(at.parentId)) {
      missing.push(at);
    }
    for (const one of missing.toReversed()) {
      const memoryId = withMemory ? one.memoryId : null;
      snapshots.set(one.id, { ...one, parentId: kept(one.parentId)?.id ?? null, memoryId });
    }
  };
  if (only === undefined) for (const id of all.keys()) add(kept(id));
  else add(only);

  const headLayer = only?.layerId ?? workspace.baseLayer;
  if (headLayer === null) throw new Error('the present state has not been frozen');
  const chosen = [...snapshots.values()];
  return {
    workspace,
    layers: layersBelow(services, [...chosen.map(({ layerId }) => layerId), headLayer]),
    snapshots: chosen,
    memories: [...new Set(chosen.flatMap(({ memoryId }) => memoryId ?? []))].flatMap(
      (id) => tree.memory(id) ?? [],
    ),
    head: {
      layerId: headLayer,
      snapshotId: kept(only?.id ?? workspace.snapshotId)?.id ?? null,
      diskGb: only?.diskGb ?? workspace.diskGb,
    },
  };
}

function layersBelow(services: WorkspaceServices, tops: readonly string[]): LayerRecord[] {
  const layers = new Map<string, LayerRecord>();
  for (const top of tops) {
    for (const layer of chainOf(services, top).toReversed()) layers.set(layer.id, layer);
  }
  return [...layers.values()];
}

/** True when the same files are meant, each standing on the same one. */
export function samePlan(one: ExportPlan, other: ExportPlan): boolean {
  const key = ({ layers }: ExportPlan): string =>
    layers.map(({ id, parentId, stamp }) => [id, parentId, stamp].join(' ')).join('\n');
  return key(one) === key(other);
}
