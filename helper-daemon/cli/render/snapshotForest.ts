/**
 * The rows of a tree of snapshots, from the oldest down. A line of snapshots goes straight down however
 * long it is; only what branches off is indented. What goes on straight is the way to the present state,
 * elsewhere the larger subtree: so 1024 snapshots need at most a dozen columns of indentation.
 */
import type { OutputOf } from '../../../protocol/operations.ts';
import type { SnapshotInfo } from '../../../protocol/operations/snapshotModel.ts';
import type { Glyphs } from '../text/glyphs.ts';

export type TreeItem =
  | { readonly kind: 'start' }
  | { readonly kind: 'snapshot'; readonly snapshot: SnapshotInfo }
  | { readonly kind: 'fork'; readonly name: string }
  | { readonly kind: 'head' };

export interface TreeRow {
  /** What is drawn before the item's own sign. */
  readonly rails: string;
  readonly item: TreeItem;
}

interface TreeNode {
  readonly item: TreeItem;
  readonly children: TreeNode[];
  /** Snapshots in the subtree. */
  weight: number;
  holdsHead: boolean;
}

const byName = new Intl.Collator(undefined, { numeric: true });

export function treeRows(list: OutputOf<'snapshot_list'>, glyphs: Glyphs): readonly TreeRow[] {
  return [...rowsFrom(forest(list), '', '', glyphs)];
}

function forest({ snapshots, current }: OutputOf<'snapshot_list'>): TreeNode {
  const start = nodeOf({ kind: 'start' });
  const nodes = new Map(
    snapshots.map((snapshot) => {
      const node = nodeOf({ kind: 'snapshot', snapshot });
      node.weight = 1;
      const forks = snapshot.dependents
        .map(({ name }) => name)
        .sort(byName.compare)
        .map((name) => nodeOf({ kind: 'fork', name }));
      node.children.push(...forks);
      return [snapshot.snapshot_id, node] as const;
    }),
  );
  const parentOf = ({ parent }: SnapshotInfo): TreeNode => nodes.get(parent ?? '') ?? start;
  for (const snapshot of snapshots) {
    const node = nodes.get(snapshot.snapshot_id);
    if (node !== undefined) parentOf(snapshot).children.push(node);
  }
  const now = nodes.get(current ?? '') ?? start;
  now.children.push({ ...nodeOf({ kind: 'head' }), holdsHead: true });
  now.holdsHead = true;
  // Children come after their parents, so that from the end every subtree is complete when it is added.
  for (const snapshot of snapshots.toReversed()) {
    const node = nodes.get(snapshot.snapshot_id);
    if (node === undefined) continue;
    const parent = parentOf(snapshot);
    parent.weight += node.weight;
    parent.holdsHead ||= node.holdsHead;
  }
  return start;
}

function nodeOf(item: TreeItem): TreeNode {
  return { item, children: [], weight: 0, holdsHead: false };
}

function* rowsFrom(
  first: TreeNode,
  firstRails: string,
  rails: string,
  glyphs: Glyphs,
): Generator<TreeRow, void, undefined> {
  let node: TreeNode | undefined = first;
  let own = firstRails;
  while (node !== undefined) {
    yield { rails: own, item: node.item };
    own = rails;
    const straight = straightOn(node.children);
    const aside = node.children.filter((child) => child !== straight);
    for (const [index, child] of aside.entries()) {
      const last = straight === undefined && index === aside.length - 1;
      yield* rowsFrom(
        child,
        rails + (last ? glyphs.lastBranch : glyphs.branch),
        rails + (last ? glyphs.noRail : glyphs.rail),
        glyphs,
      );
    }
    node = straight;
  }
}

/** Never a fork: what stands straight below a snapshot has grown from it in the same machine. */
function straightOn(children: readonly TreeNode[]): TreeNode | undefined {
  let best: TreeNode | undefined;
  for (const child of children) {
    if (child.item.kind === 'fork') continue;
    if (child.holdsHead) return child;
    if (best === undefined || child.weight >= best.weight) best = child;
  }
  return best;
}
