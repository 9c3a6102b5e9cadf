/** What the tree of one workspace must look like, without a daemon: names, parents, contents. */
export interface ModelNode {
  readonly name: string;
  parent: string | undefined;
  readonly content: readonly number[];
}

export interface TreeModel {
  readonly nodes: readonly ModelNode[];
  readonly current: string | undefined;
  /** What is on its disk: one byte for each place that tests write to. */
  readonly content: readonly number[];
}

export function written(tree: TreeModel, place: number, value: number): TreeModel {
  return { ...tree, content: tree.content.with(place, value) };
}

export function snapshotTaken(tree: TreeModel, name: string): TreeModel {
  const node = { name, parent: tree.current, content: tree.content };
  return { ...tree, nodes: [...tree.nodes, node], current: name };
}

export function restored(tree: TreeModel, name: string): TreeModel {
  const node = tree.nodes.find((candidate) => candidate.name === name);
  return { ...tree, current: name, content: node?.content ?? [] };
}

/** Children, and the machine, move up. */
export function deleted(tree: TreeModel, name: string): TreeModel {
  const gone = tree.nodes.find((node) => node.name === name);
  const nodes = tree.nodes
    .filter((node) => node !== gone)
    .map((node) => (node.parent === name ? { ...node, parent: gone?.parent } : node));
  return { ...tree, nodes, current: tree.current === name ? gone?.parent : tree.current };
}

export function renamed(tree: TreeModel, from: string, to: string): TreeModel {
  const nodes = tree.nodes.map((node) => ({
    ...node,
    name: node.name === from ? to : node.name,
    parent: node.parent === from ? to : node.parent,
  }));
  return { ...tree, nodes, current: tree.current === from ? to : tree.current };
}

/** As drawTree draws what the daemon says. */
export function drawn({ nodes, current }: TreeModel): string[] {
  return nodes.map(
    ({ name, parent }) =>
      `${name}${parent === undefined ? '' : `<${parent}`}${name === current ? '*' : ''}`,
  );
}
