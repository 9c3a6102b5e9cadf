/** Proves that what the rows say is there, whole and unchanged. */
import type { OutputOf, ParsedInputOf } from '../../../protocol/operations.ts';
import { asCoppiceError } from '../../../protocol/errors.ts';
import type { LayerRecord } from '../../store/treeStore.ts';
import type { WorkspaceRecord } from '../../store/workspaceStore.ts';
import { requireUnchanged } from '../../workspaces/heads.ts';
import { digestFile } from '../../images/fileDigest.ts';
import type { WorkspaceServices } from '../../workspaces/services.ts';

type Report = OutputOf<'storage_verify'>;
type Problem = Report['problems'][number];

export async function verifyStorage(
  services: WorkspaceServices,
  input: ParsedInputOf<'storage_verify'>,
  progress: (message: string) => void,
): Promise<Report> {
  const problems: Problem[] = [];
  const { tree, store } = services;
  const workspaces = store.visible();
  const layers = tree.layers();
  const memories = tree.memories();
  const deep = input.deep === true;

  // Work goes on meanwhile: what has changed or gone since it was listed is no problem.
  for (const workspace of workspaces) {
    progress(`Checking ${workspace.name}`);
    problems.push(...checkPositions(services, workspace));
    const found = await checkHead(services, workspace);
    const now = store.byId(workspace.id);
    const same = now?.head === workspace.head && now.baseLayer === workspace.baseLayer;
    if (same) problems.push(...found);
  }
  for (const layer of layers) {
    progress(`Checking layer ${layer.id.slice(0, 8)}`);
    const found = await checkLayer(services, layer, deep);
    if (tree.layer(layer.id)?.stamp === layer.stamp) problems.push(...found);
  }
  for (const memory of memories) {
    progress(`Checking memory ${memory.id.slice(0, 8)}`);
    const digest = await digestFile(services.memories.file(memory.id)).catch(() => undefined);
    if (digest?.sha256 === memory.sha256 || tree.memory(memory.id) === undefined) continue;
    problems.push({
      subject: `memory of ${memoryUsers(services, memory.id)}`,
      problem: digest === undefined ? 'its file is missing' : 'its file was changed',
      next: 'The disks are not affected: restore or fork with --boot, or delete the snapshot.',
    });
  }
  return {
    ok: problems.length === 0,
    checked: {
      workspaces: workspaces.length,
      snapshots: tree.snapshots().length,
      layers: layers.length,
      memories: memories.length,
    },
    problems,
  };
}

/** The tree itself: every parent is a snapshot of the same workspace, without circles. */
function checkPositions(services: WorkspaceServices, workspace: WorkspaceRecord): Problem[] {
  const snapshots = services.tree.snapshotsOf(workspace.id);
  const byId = new Map(snapshots.map((snapshot) => [snapshot.id, snapshot]));
  const problems: Problem[] = [];
  const wrong = (problem: string): void => {
    problems.push({ subject: workspace.name, problem, next: 'Report this as a bug.' });
  };
  if (workspace.snapshotId !== null && !byId.has(workspace.snapshotId)) {
    wrong('its position is no snapshot of its own');
  }
  for (const snapshot of snapshots) {
    const seen = new Set<string>();
    for (let at: string | null = snapshot.id; at !== null; at = byId.get(at)?.parentId ?? null) {
      if (seen.has(at)) {
        wrong(`snapshot ${snapshot.name} is its own ancestor`);
        break;
      }
      seen.add(at);
      if (!byId.has(at)) wrong(`an ancestor of snapshot ${snapshot.name} is missing`);
    }
  }
  return problems;
}

async function checkHead(
  services: WorkspaceServices,
  workspace: WorkspaceRecord,
): Promise<Problem[]> {
  const { head, baseLayer, storage: name } = workspace;
  const problems: Problem[] = [];
  const next = 'Restore one of its snapshots, or destroy it.';
  if (baseLayer !== null && services.tree.layer(baseLayer) === undefined) {
    problems.push({
      subject: workspace.name,
      problem: 'the layer it stands on is not known',
      next,
    });
  }
  try {
    const storage = services.storages.named(name);
    await storage.disk(head);
    const standsOn = await storage.chains?.standsOn(head);
    const expected = baseLayer === null ? undefined : services.tree.layer(baseLayer)?.locator;
    const onLayer = typeof standsOn === 'string' ? standsOn : undefined;
    // While it runs a fold may be going on.
    const settled = services.machines.get(workspace.id) === undefined;
    if (storage.chains !== undefined && settled && onLayer !== expected) {
      problems.push({ subject: workspace.name, problem: 'its disk stands on another layer', next });
    }
    if (settled) {
      for (const { problem } of await storage.check(head)) {
        problems.push({ subject: workspace.name, problem, next });
      }
    }
  } catch (error) {
    problems.push({ subject: workspace.name, problem: asCoppiceError(error).message, next });
  }
  return problems;
}

async function checkLayer(
  services: WorkspaceServices,
  layer: LayerRecord,
  deep: boolean,
): Promise<Problem[]> {
  const subject = `layer of ${layerUsers(services, layer.id)}`;
  const next = 'Put the file back from a backup, or destroy what stands on it.';
  try {
    const storage = services.storages.named(layer.storage);
    await requireUnchanged(services, layer);
    const found = [...(await storage.check(layer.locator))];
    if (deep && layer.sha256 !== null && (await storage.digest(layer.locator)) !== layer.sha256) {
      found.push({ locator: layer.locator, problem: 'its bytes were changed' });
    }
    return found.map(({ problem }) => ({ subject, problem, next }));
  } catch (error) {
    const { message, next: advice } = asCoppiceError(error);
    return [{ subject, problem: message, next: advice ?? next }];
  }
}

function layerUsers(services: WorkspaceServices, layerId: string): string {
  const snapshots = services.tree.snapshots().filter((snapshot) => snapshot.layerId === layerId);
  const heads = services.store.all().filter(({ baseLayer }) => baseLayer === layerId);
  const names = [
    ...snapshots.map((snapshot) => snapshotTitle(services, snapshot)),
    ...heads.map(({ name }) => name),
  ];
  return names.length === 0 ? layerId : names.join(', ');
}

function memoryUsers(services: WorkspaceServices, memoryId: string): string {
  const snapshots = services.tree.snapshots().filter((snapshot) => snapshot.memoryId === memoryId);
  const suspended = services.store.all().filter((record) => record.memoryId === memoryId);
  const templates = services.templates.all().filter((template) => template.memoryId === memoryId);
  const names = [
    ...snapshots.map((snapshot) => snapshotTitle(services, snapshot)),
    ...suspended.map(({ name }) => name),
    ...templates.map(({ imageName }) => `the template of ${imageName}`),
  ];
  return names.length === 0 ? memoryId : names.join(', ');
}

function snapshotTitle(
  services: WorkspaceServices,
  snapshot: { readonly workspaceId: string; readonly name: string },
): string {
  return `${services.store.byId(snapshot.workspaceId)?.name ?? '?'}@${snapshot.name}`;
}
