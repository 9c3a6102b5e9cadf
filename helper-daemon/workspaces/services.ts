/** Everything the workspace logic works with; put together once by the daemon. */
import type { CoppiceEvent } from '../../protocol/events.ts';
import type { Engine } from '../engine/machine.ts';
import type { openGuestLink } from '../guest/guestLink.ts';
import type { ImageCatalogue } from '../images/catalogue.ts';
import type { BootAssets } from '../images/bootAssets.ts';
import type { Network } from '../network/network.ts';
import type { OpenStorages } from '../storage/select.ts';
import type { Journal } from '../store/journal.ts';
import type { PortForwardStore } from '../store/portForwardStore.ts';
import type { RunStore } from '../store/runStore.ts';
import type { SettingStore, TemplateStore } from '../store/templateStore.ts';
import type { TreeStore } from '../store/treeStore.ts';
import type { WorkspaceStore } from '../store/workspaceStore.ts';
import type { Log } from '../system/log.ts';
import type { HostPaths } from '../system/paths.ts';
import type { Activity } from './activity.ts';
import type { ForwardListeners } from './forwardListeners.ts';
import type { KeyedLock } from './keyedLock.ts';
import type { Listening } from './listening.ts';
import type { LiveMachines } from './liveMachines.ts';
import type { Memories } from './memories.ts';
import type { CallerActivity } from './ownership.ts';
import type { Quotas } from './quotas.ts';

export interface WorkspaceServices {
  readonly paths: HostPaths;
  readonly store: WorkspaceStore;
  readonly runs: RunStore;
  readonly tree: TreeStore;
  readonly templates: TemplateStore;
  readonly settings: SettingStore;
  readonly journal: Journal;
  /** Runs store changes that must be published together. */
  readonly transaction: <T>(work: () => T) => T;
  /** Runs store changes that a loss of power may take back: machines and what begins with nothing. */
  readonly lightly: <T>(work: () => T) => T;
  readonly storages: OpenStorages;
  readonly images: ImageCatalogue;
  readonly bootAssets: () => Promise<BootAssets>;
  readonly engine: Engine;
  readonly openGuestLink: typeof openGuestLink;
  readonly machines: LiveMachines;
  readonly memories: Memories;
  readonly network: Network;
  /** What each caller may have. */
  readonly quotas: Quotas;
  readonly callers: CallerActivity;
  /** How many times the host's free memory may be promised to machines. */
  readonly memoryOvercommit: number;
  readonly forwards: PortForwardStore;
  readonly forwardListeners: ForwardListeners;
  /** TCP sockets that listen in machines, as far as their agents have told. */
  readonly listening: Listening;
  readonly activity: Activity;
  /** Boots under way, so that a destroy need not wait for them. */
  readonly booting: Map<string, AbortController>;
  /** One mutation of a workspace at a time, keyed by its id. */
  readonly locks: KeyedLock;
  readonly publish: (event: CoppiceEvent) => void;
  readonly log: Log;
  readonly now: () => Date;
  /** Milliseconds a machine may take until its agent answers. */
  readonly bootTimeoutMs: number;
}
