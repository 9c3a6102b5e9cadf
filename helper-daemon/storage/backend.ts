/**
 * Where machines' disks live. A workspace's disk is a *head*: it can be written and belongs to one workspace.
 * A head stands on immutable *layers*, shared by every head and layer above them, and those on an image.
 * Which layers exist, what they are called and who needs them is decided above this interface and is the
 * same for every backend; a backend only makes, freezes and deletes.
 *
 * Every method may be called again after a crash in the middle of it, with the same arguments.
 */
import type { Account } from '../system/users.ts';

export type StorageName = 'qcow2' | 'zfs' | 'reflink';

/** What a machine opens. */
export interface DiskImage {
  readonly path: string;
  readonly format: 'qcow2' | 'raw';
}

/**
 * Where a backend keeps one head or layer; made by the backend, stored by its caller, opaque to everybody
 * else. Built from ids only, never from what a caller wrote.
 */
export type Locator = string;

/** An image of the catalogue: a qcow2 file without a backing file that never changes. */
export interface BaseImage {
  readonly kind: 'image';
  readonly path: string;
  /** sha256:<hex> */
  readonly digest: string;
  readonly virtualBytes: number;
}

export interface BaseLayer {
  readonly kind: 'layer';
  readonly locator: Locator;
}

export type Base = BaseImage | BaseLayer;

/** How a head becomes a layer with a new head on top, in steps that the caller fits around a running machine. */
export interface Freeze {
  /** Where the frozen content will be. */
  readonly layer: Locator;
  /** Where writes go afterwards; may be the same place as before. */
  readonly nextHead: Locator;
  /**
   * Set when the machine has to move to another disk: prepared, standing on the disk it has now. The caller
   * makes a running machine write there from the moment of the freeze on.
   */
  readonly switchTo?: DiskImage;
  /** Freezes. The machine stands still, or its file system is frozen, or there is none. */
  commit(): Promise<void>;
  /** After the machine has gone on: what need not hold it up (permissions, durability). */
  settle(): Promise<void>;
  /** Takes everything prepared back; the head is what it was. Not after commit or a switch. */
  abort(): Promise<void>;
}

export interface FreezeRequest {
  readonly head: Locator;
  /** uuids, new for each attempt. */
  readonly layerId: string;
  readonly nextHeadId: string;
  /** Account whose machine writes the next head. */
  readonly owner?: Account | undefined;
}

export interface HeadRequest {
  /** A uuid, new for each head. */
  readonly id: string;
  readonly base: Base;
  /** Size of the disk the machine sees; at least that of the base. */
  readonly sizeBytes: number;
  readonly owner?: Account | undefined;
}

/** What a layer is made of, cheap enough to look at before each use; any change of its bytes changes it. */
export interface LayerStamp {
  readonly stamp: string;
  /** Bytes it takes on the host, those it shares with others included. */
  readonly bytes: number;
}

export interface StorageSpace {
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** Found by `verify` and `strangers`. */
export interface StorageProblem {
  readonly locator: Locator;
  readonly problem: string;
}

export interface StorageBackend {
  readonly name: StorageName;
  /** Where it keeps things, for a person: a directory or a dataset. */
  readonly location: string;
  /** True where a layer is a file over another one and long chains cost reads: see `chains`. */
  readonly chains?: ChainedStorage;
  /** Where createHead will put the head with this id; known before it exists, for the record of it. */
  headLocator(id: string): Locator;
  /** @throws CoppiceError `no_space`, `invalid_input`, `layer_missing` */
  createHead(request: HeadRequest): Promise<Locator>;
  /** What a machine opens; looked up anew for every start. @throws CoppiceError `layer_missing` */
  disk(locator: Locator): Promise<DiskImage>;
  /** Prepares a freeze; nothing has happened to the head yet. @throws CoppiceError `no_space` */
  prepareFreeze(request: FreezeRequest): Promise<Freeze>;
  /** Grows a head that no machine uses; smaller or equal is a no-op. */
  growHead(head: Locator, sizeBytes: number): Promise<void>;
  /** Deleting what is not there is a success. */
  deleteHead(head: Locator): Promise<void>;
  /** Nothing stands on it any more. Deleting what is not there is a success. */
  deleteLayer(layer: Locator): Promise<void>;
  /** Bytes that only this head or layer takes. */
  usedBytes(locator: Locator): Promise<number>;
  /** @throws CoppiceError `layer_missing` when it is not there */
  stamp(layer: Locator): Promise<LayerStamp>;
  /** Hex SHA-256 of a layer's own bytes; undefined where the storage checks its bytes itself (ZFS). */
  digest(layer: Locator): Promise<string | undefined>;
  /** Structure of a head or layer as the storage sees it; empty when sound. Not for a head in use. */
  check(locator: Locator): Promise<readonly StorageProblem[]>;
  /** Everything of ours in the storage: what is not in `known` has no owner. */
  all(): Promise<readonly Locator[]>;
  /** Deletes something `all` returned that nobody owns. */
  discard(locator: Locator): Promise<void>;
  space(): Promise<StorageSpace>;
  /**
   * Where a backend converts images for itself: drops the copies of all but these (`sha256:<hex>`). Heads and
   * layers made from a dropped copy are not affected.
   */
  keepImages?(digests: ReadonlySet<string>): Promise<void>;
  /**
   * One file of qcow2 with the content of this head or layer, for an archive: without a backing file it holds
   * everything; with `over` only what differs from that layer or image.
   */
  exportTo(locator: Locator, file: string, over: Base | undefined): Promise<void>;
  /** Makes a layer out of a file that exportTo wrote; `base` is what it was exported over. */
  importLayer(request: {
    readonly id: string;
    readonly file: string;
    readonly base: Base | undefined;
    readonly virtualBytes: number;
  }): Promise<Locator>;
}

/** What only chains of files need. */
export interface ChainedStorage {
  /** A head deeper than this is worth flattening. */
  readonly depthLimit: number;
  /** Number of files below a head or layer, the image not counted. */
  depth(locator: Locator): Promise<number>;
  /** Copies what stands between the head and `base` into the head, which no machine uses. */
  pull(head: Locator, base: Base): Promise<void>;
  /**
   * Replaces the layer by one with the same content that stands on `base` instead of on what it stands on
   * now. Running machines that have it open are not disturbed.
   */
  merge(layer: Locator, base: Base): Promise<void>;
  /** What it stands on now, by its own header: the truth after a crash during pull or merge. */
  standsOn(locator: Locator): Promise<Locator | { readonly imageDigest: string } | undefined>;
}
