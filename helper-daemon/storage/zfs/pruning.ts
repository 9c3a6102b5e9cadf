/**
 * Deleting in a pool, where a snapshot cannot outlive its dataset nor, unless deferred, go before its clones.
 * A deleted head with snapshots becomes a husk; a deleted layer with clones is deferred; whatever is then
 * needed by nobody goes with the last that needed it. Nothing is ever promoted: that moves snapshots to
 * other names, and names are what the records hold.
 */
import type { Locator } from '../backend.ts';
import { datasetOf, holdTag, husk, stateProperty } from './names.ts';
import { refusalOf, zfs, zfsGet, zfsUnless, type ZfsPrograms } from './zfsCommand.ts';

export interface Pruning {
  readonly programs: ZfsPrograms;
  /** Dataset that everything of ours is below. */
  readonly root: string;
}

export async function deleteHead({ programs, root }: Pruning, head: Locator): Promise<void> {
  const dataset = `${root}/${head}`;
  const found = await zfsGet(programs, dataset, ['origin', 'createtxg'], { recursive: true });
  if (!found.has(dataset)) return;
  const snapshots = [...found].filter(([name]) => name.includes('@'));
  if (snapshots.length === 0) {
    await destroyDataset({ programs, root }, dataset, found.get(dataset)?.get('origin'));
    return;
  }
  await zfs(programs, ['set', `${stateProperty}=${husk}`, dataset]);
  const age = (entry: (typeof snapshots)[number]): number => Number(entry[1].get('createtxg'));
  const newest = snapshots.toSorted((a, b) => age(b) - age(a))[0];
  if (newest === undefined) return;
  try {
    // No machine opens it again; without this what was written since would stay for as long as its layers.
    await zfs(programs, ['rollback', newest[0]]);
  } catch (error) {
    // The head is gone all the same; a full or busy pool only gives the space back later.
    if (refusalOf(error) === undefined) throw error;
  }
}

export async function deleteLayer({ programs, root }: Pruning, layer: Locator): Promise<void> {
  const snapshot = `${root}/${layer}`;
  await zfsUnless(programs, ['missing', 'tag_missing'], ['release', holdTag, snapshot]);
  await zfsUnless(programs, ['missing'], ['destroy', '-d', snapshot]);
  await tidy({ programs, root }, datasetOf(snapshot));
}

/** Destroys a husk that has lost its last snapshot, then what it stood on if that has become one. */
async function tidy({ programs, root }: Pruning, dataset: string): Promise<void> {
  const properties = [stateProperty, 'origin'];
  const found = await zfsGet(programs, dataset, properties, { recursive: true });
  const own = found.get(dataset);
  if (own?.get(stateProperty) !== husk || found.size > 1) return;
  await destroyDataset({ programs, root }, dataset, own.get('origin'));
}

/** A dataset without snapshots. */
export async function destroyDataset(
  { programs, root }: Pruning,
  dataset: string,
  origin: string | undefined,
): Promise<void> {
  await zfsUnless(programs, ['missing'], ['destroy', dataset]);
  // A deferred snapshot went with its last clone.
  if (origin?.startsWith(`${root}/heads/`) === true) {
    await tidy({ programs, root }, datasetOf(origin));
  }
}

/** Heads and layers that are not on their way out, husks that a crash left behind, and temporary clones. */
export async function listAll({ programs, root }: Pruning): Promise<Locator[]> {
  const properties = [stateProperty, 'defer_destroy'];
  const heads = await zfsGet(programs, `${root}/heads`, properties, { recursive: true });
  const clones = await zfsGet(programs, `${root}/tmp`, ['type'], { recursive: true });
  const withSnapshots = new Set(
    [...heads.keys()].filter((name) => name.includes('@')).map((name) => datasetOf(name)),
  );
  const ours = [...heads].filter(([name, facts]) => {
    if (name.includes('@')) return facts.get('defer_destroy') !== 'on';
    return facts.get(stateProperty) !== husk || !withSnapshots.has(name);
  });
  return [...ours.map(([name]) => name), ...clones.keys()].map((name) =>
    name.slice(root.length + 1),
  );
}
