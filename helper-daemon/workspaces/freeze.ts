/**
 * The one way a workspace's state becomes immutable: its head turns into a layer with a new head on top, and
 * its memory may be kept with it. Snapshots, live forks and templates are made of this.
 */
import { randomUUID } from 'node:crypto';
import type { Freeze } from '../storage/backend.ts';
import type { LayerRecord, MemoryRecord } from '../store/treeStore.ts';
import type { MachineRunRecord } from '../store/runStore.ts';
import type { WorkspaceRecord } from '../store/workspaceStore.ts';
import { accountOf } from './accounts.ts';
import { requireDisk } from './admission.ts';
import { flushFiles, freezeFiles, holdWorkload, type Standstill } from './standstill.ts';
import { requireCurrentGuest } from './guestVersions.ts';
import type { LiveMachine } from './liveMachines.ts';
import type { LoadedMemory } from './memories.ts';
import type { WorkspaceServices } from './services.ts';

export interface FreezeOptions {
  /**
   * `file`: memory is written to a file that survives the daemon. `loaded`: it is only kept in the host's
   * memory, and the caller lets go of it. `none`: the disk alone.
   */
  readonly memory: 'none' | 'loaded' | 'file';
  /** The machine is not needed any more: leave it standing. */
  readonly stayPaused?: boolean;
  readonly progress: (message: string) => void;
  /** Stores what names the layer, in the transaction that publishes it. */
  readonly publish: (frozen: Frozen) => void;
}

export interface Frozen {
  readonly layer: LayerRecord;
  readonly memory?: LoadedMemory;
  /** The row of a memory that is in a file. */
  readonly memoryRecord?: MemoryRecord;
  /** How long programs in the machine stood still, in milliseconds. */
  readonly pauseMs: number;
  readonly consistency: 'memory' | 'filesystem' | 'crash';
}

/** What the journal keeps of a freeze under way. */
export interface FreezeDetail {
  readonly layerId: string;
  readonly nextHeadId: string;
  readonly head: string;
  readonly [key: string]: string;
}

/**
 * The caller holds the workspace's lock. When this throws, the tree is what it was; the head may have moved
 * on to a new file over the old one, which changes nothing for anybody.
 * @throws CoppiceError `no_space`, `busy`
 */
export async function freezeWorkspace(
  services: WorkspaceServices,
  record: WorkspaceRecord,
  options: FreezeOptions,
): Promise<Frozen> {
  await requireDisk(services.paths.state);
  const storage = services.storages.named(record.storage);
  const detail: FreezeDetail = {
    layerId: randomUUID(),
    nextHeadId: randomUUID(),
    head: record.head,
  };
  const entry = services.journal.begin('freeze', record.id, detail);
  let plan: Freeze;
  try {
    plan = await storage.prepareFreeze({ ...detail, owner: accountOf(record.uid) });
  } catch (error) {
    services.journal.end(entry);
    throw error;
  }
  const live = services.machines.get(record.id);
  let captured: Captured;
  try {
    captured =
      live === undefined
        ? await freezeStopped(plan)
        : await freezeLive(services, record, live, plan, options);
  } catch (error) {
    if (!hasSwitched(error)) {
      await plan.abort();
      services.journal.end(entry);
      throw error;
    }
    await moveOn(services, record, detail, plan, entry);
    throw error;
  }
  try {
    await plan.settle();
    const memoryRecord =
      options.memory === 'file' && captured.memory !== undefined
        ? await saveMemory(services, captured.memory, options)
        : undefined;
    const frozen: Frozen = {
      ...captured,
      layer: await layerRecord(services, record, detail, plan),
      ...(memoryRecord === undefined ? {} : { memoryRecord }),
    };
    services.transaction(() => {
      adoptLayer(services, record, frozen.layer, plan.nextHead);
      if (memoryRecord !== undefined) services.tree.insertMemory(memoryRecord);
      options.publish(frozen);
      services.journal.end(entry);
    });
    if (options.memory === 'file' && captured.memory !== undefined) {
      services.memories.remember(captured.memory);
    }
    return frozen;
  } catch (error) {
    if (captured.memory !== undefined) {
      captured.memory.image.release();
      await services.memories.remove(captured.memory.image.id);
    }
    await moveOn(services, record, detail, plan, entry);
    throw error;
  }
}

type Captured = Omit<Frozen, 'layer' | 'memoryRecord'>;

async function freezeStopped(plan: Freeze): Promise<Captured> {
  await plan.commit();
  return { pauseMs: 0, consistency: 'filesystem' };
}

async function freezeLive(
  services: WorkspaceServices,
  record: WorkspaceRecord,
  live: LiveMachine,
  plan: Freeze,
  options: FreezeOptions,
): Promise<Captured> {
  const withMemory = options.memory !== 'none';
  const run = requireRun(services, record);
  if (withMemory) await requireCurrentGuest(services, record, run.guest);
  const standing = record.state === 'paused';
  let standstill: Standstill | undefined;
  // Memory holds what is not on the disk yet; but whoever keeps a snapshot may also boot from its disk, or look
  // at its files. Most of it is written before anything stands still.
  const writeOut = options.memory === 'file' && !standing;
  if (writeOut) await flushFiles(live.link);
  try {
    const { memory, pausedMs } = await live.machine.capture({
      ...(withMemory ? { memory: { id: randomUUID() } } : {}),
      ...(plan.switchTo === undefined ? {} : { switchTo: plan.switchTo }),
      ...(options.stayPaused === true ? { stayPaused: true } : {}),
      beforePause: async () => {
        // A paused machine was held when it was paused.
        if (standing) return;
        standstill = withMemory ? await holdWorkload(live.link) : await freezeFiles(live.link);
        if (writeOut) await flushFiles(live.link);
      },
      whilePaused: () => plan.commit(),
    });
    // From here on the disk has moved: nothing may be reported as if it had not.
    if (options.stayPaused !== true) await letGoOn(services, record, standstill);
    return {
      ...(memory === undefined
        ? {}
        : { memory: { image: memory, channelKey: run.channelKey, guest: run.guest } }),
      pauseMs: standing ? 0 : Math.max(pausedMs, standstill?.elapsedMs() ?? 0),
      consistency: withMemory
        ? 'memory'
        : standing || standstill === undefined
          ? 'crash'
          : 'filesystem',
    };
  } catch (error) {
    await letGoOn(services, record, standstill);
    throw error;
  }
}

export function requireRun(services: WorkspaceServices, record: WorkspaceRecord): MachineRunRecord {
  const run = services.runs.of(record.id);
  if (run === undefined) throw new Error(`machine of ${record.id} has no row`);
  return run;
}

async function letGoOn(
  services: WorkspaceServices,
  record: WorkspaceRecord,
  standstill: Standstill | undefined,
): Promise<void> {
  await standstill?.end().catch((error: unknown) => {
    services.log.warn({ workspace: record.id, err: error }, 'guest not released');
  });
}

/** Nothing names the layer, but the head stands on it. */
async function moveOn(
  services: WorkspaceServices,
  record: WorkspaceRecord,
  detail: FreezeDetail,
  plan: Freeze,
  entry: number,
): Promise<void> {
  await plan.settle().catch((error: unknown) => {
    services.log.warn({ workspace: record.id, err: error }, 'layer not settled');
  });
  const layer = await layerRecord(services, record, detail, plan);
  services.transaction(() => {
    adoptLayer(services, record, layer, plan.nextHead);
    services.journal.end(entry);
  });
}

export function adoptLayer(
  services: WorkspaceServices,
  record: WorkspaceRecord,
  layer: LayerRecord,
  nextHead: string,
): void {
  services.tree.insertLayer(layer);
  services.store.update(record.id, { head: nextHead, baseLayer: layer.id });
}

export async function layerRecord(
  services: WorkspaceServices,
  record: WorkspaceRecord,
  detail: FreezeDetail,
  plan: Pick<Freeze, 'layer'>,
): Promise<LayerRecord> {
  const { stamp, bytes } = await services.storages.named(record.storage).stamp(plan.layer);
  return {
    id: detail.layerId,
    storage: record.storage,
    locator: plan.layer,
    parentId: record.baseLayer,
    imageDigest: record.imageDigest,
    virtualBytes: record.diskGb * 1024 ** 3,
    stamp,
    bytes,
    sha256: null,
    createdAt: services.now().toISOString(),
  };
}

async function saveMemory(
  services: WorkspaceServices,
  memory: LoadedMemory,
  options: FreezeOptions,
): Promise<MemoryRecord> {
  options.progress('Writing the memory to disk');
  await requireDisk(services.paths.state, memory.image.residentBytes);
  return await services.memories.save(memory);
}

function hasSwitched(error: unknown): boolean {
  return (
    error instanceof Error &&
    'details' in error &&
    (error.details as { switched?: unknown } | undefined)?.switched === true
  );
}
