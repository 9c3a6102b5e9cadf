/**
 * The tree of an image while its layers are applied, in memory; only file contents are on disk.
 *
 * Nothing here touches the host's file system: a hostile path can at worst name another place inside the
 * image.
 */
import { imageInvalid, imageTooLarge } from '../imageErrors.ts';
import type { Extent } from './volume.ts';

export type NodeKind = 'file' | 'directory' | 'symlink' | 'fifo' | 'socket';

export interface Attributes {
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since 1970. */
  readonly mtime: number;
  readonly mtimeNs?: number;
  readonly xattrs?: ReadonlyMap<string, Buffer>;
}

/** What becomes one inode; a hard link is a second name for the same node. */
export interface TreeNode {
  readonly kind: NodeKind;
  attributes: Attributes;
  readonly size: number;
  readonly extents: readonly Extent[];
  readonly target?: Buffer;
  readonly children?: Map<string, Name>;
  links: number;
}

interface Name {
  node: TreeNode;
  /** The layer that last wrote this name: a whiteout only hides what older layers wrote. */
  layer: number;
}

export interface Tree {
  readonly root: TreeNode;
  addDirectory(path: string, attributes: Attributes, layer: number): void;
  addNode(path: string, node: Omit<TreeNode, 'links' | 'children'>, layer: number): void;
  addHardLink(path: string, target: string, layer: number): void;
  /** Hides a name, or everything in a directory, that older layers wrote. */
  hide(path: string, layer: number): void;
  hideContents(path: string, layer: number): void;
  find(path: string): TreeNode | undefined;
}

const maxDepth = 256;
const maxLinkHops = 40;
const maxNodes = 2_000_000;

const implicitDirectory: Attributes = { mode: 0o755, uid: 0, gid: 0, mtime: 0 };

export function makeTree(onRemoved: (node: TreeNode) => void): Tree {
  const root = directory(implicitDirectory);
  let nodes = 0;

  /** The directory that holds a path's last component; made where missing. Follows links inside the tree. */
  function parentOf(
    path: string,
    layer: number,
    create: boolean,
  ): { readonly parent: TreeNode; readonly base: string } | undefined {
    const parts = components(path);
    const base = parts.pop();
    if (base === undefined) return undefined;
    let hops = 0;
    const trail: TreeNode[] = [root];
    const pending = parts.reverse();
    while (pending.length > 0) {
      const part = pending.pop() as string;
      if (part === '..') {
        if (trail.length > 1) trail.pop();
        continue;
      }
      const here = trail[trail.length - 1] as TreeNode;
      const found = here.children?.get(part);
      if (found === undefined) {
        if (!create) return undefined;
        const made = directory(implicitDirectory);
        put(here, part, made, layer);
        trail.push(made);
      } else if (found.node.kind === 'directory') {
        // Writing below a directory is a mention of it, as far as whiteouts of this layer are concerned.
        if (create) found.layer = Math.max(found.layer, layer);
        trail.push(found.node);
      } else if (found.node.kind === 'symlink') {
        hops += 1;
        if (hops > maxLinkHops) {
          throw imageInvalid(`The path ${path} runs through a loop of symbolic links.`);
        }
        const target = (found.node.target as Buffer).toString('utf8');
        if (target.startsWith('/')) trail.length = 1;
        pending.push(...linkComponents(target).reverse());
        if (pending.length > maxDepth * 2) throw imageInvalid(`The path ${path} is too deep.`);
      } else {
        if (!create) return undefined;
        throw imageInvalid(`The archive puts ${path} below ${part}, which is not a directory.`);
      }
    }
    return { parent: trail[trail.length - 1] as TreeNode, base };
  }

  function put(parent: TreeNode, base: string, node: TreeNode, layer: number): void {
    nodes += 1;
    if (nodes > maxNodes) throw imageTooLarge('The image holds too many files.', maxNodes);
    node.links += 1;
    parent.children?.set(base, { node, layer });
  }

  function remove(parent: TreeNode, base: string): void {
    const name = parent.children?.get(base);
    if (name === undefined) return;
    parent.children?.delete(base);
    drop(name.node);
  }

  /** Without recursion: hostile trees are deep. */
  function drop(first: TreeNode): void {
    const pending = [first];
    for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
      nodes -= 1;
      node.links -= 1;
      if (node.links > 0) continue;
      for (const child of node.children?.values() ?? []) pending.push(child.node);
      onRemoved(node);
    }
  }

  function lookup(path: string): TreeNode | undefined {
    if (components(path).length === 0) return root;
    const place = parentOf(path, 0, false);
    return place?.parent.children?.get(place.base)?.node;
  }

  return {
    root,
    addDirectory(path, attributes, layer) {
      const place = parentOf(path, layer, true);
      if (place === undefined) {
        root.attributes = attributes;
        return;
      }
      const existing = place.parent.children?.get(place.base);
      if (existing?.node.kind === 'directory') {
        existing.node.attributes = attributes;
        existing.layer = layer;
        return;
      }
      remove(place.parent, place.base);
      put(place.parent, place.base, directory(attributes), layer);
    },
    addNode(path, node, layer) {
      const place = parentOf(path, layer, true);
      if (place === undefined) {
        throw imageInvalid(`The archive wants to replace its own root by a ${node.kind}.`);
      }
      remove(place.parent, place.base);
      put(place.parent, place.base, { ...node, links: 0 }, layer);
    },
    addHardLink(path, target, layer) {
      const node = lookup(target);
      if (node === undefined || node.kind === 'directory') {
        throw imageInvalid(`The archive links ${path} to ${target}, which is not a file in it.`);
      }
      const place = parentOf(path, layer, true);
      if (place === undefined) {
        throw imageInvalid('The archive wants to replace its own root by a link.');
      }
      if (place.parent.children?.get(place.base)?.node === node) return;
      remove(place.parent, place.base);
      put(place.parent, place.base, node, layer);
    },
    hide(path, layer) {
      const place = parentOf(path, layer, false);
      if (place === undefined) return;
      const name = place.parent.children?.get(place.base);
      if (name !== undefined && name.layer < layer) remove(place.parent, place.base);
      // The directory itself was written again by this layer; what older layers put in it goes.
      else if (name?.node.kind === 'directory') hideOlder(name.node, layer);
    },
    hideContents(path, layer) {
      const node = lookup(path);
      if (node?.kind === 'directory') hideOlder(node, layer);
    },
    find: lookup,
  };

  function hideOlder(first: TreeNode, layer: number): void {
    const pending = [first];
    for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
      for (const [base, name] of [...(node.children ?? [])]) {
        if (name.layer < layer) remove(node, base);
        else if (name.node.kind === 'directory') pending.push(name.node);
      }
    }
  }
}

function directory(attributes: Attributes): TreeNode {
  return { kind: 'directory', attributes, size: 0, extents: [], children: new Map(), links: 0 };
}

/** The components of a path in an archive; a path that climbs or cannot be a path is refused. */
export function components(path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) {
    throw imageInvalid(`The archive holds a path that leaves it: ${path.slice(0, 200)}`);
  }
  checkComponents(parts, path);
  return parts;
}

/** A link's target may climb: it is resolved inside the image and stops at its root. */
function linkComponents(target: string): string[] {
  const parts = target.split('/').filter((part) => part !== '' && part !== '.');
  checkComponents(parts, target);
  return parts;
}

function checkComponents(parts: readonly string[], path: string): void {
  if (
    parts.length > maxDepth ||
    path.includes('\0') ||
    parts.some((part) => Buffer.byteLength(part) > 255)
  ) {
    throw imageInvalid(`The archive holds a path that Linux does not take: ${path.slice(0, 200)}`);
  }
}
