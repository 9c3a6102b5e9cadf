import pLimit from 'p-limit';
import { asCoppiceError } from '../../protocol/errors.ts';
import type { OutputOf, ParsedInputOf } from '../../protocol/operations.ts';
import type { SnapshotRecord } from '../store/treeStore.ts';
import type { WorkspaceRecord } from '../store/workspaceStore.ts';
import { requireDisk } from '../workspaces/admission.ts';
import type { BootOptions } from '../workspaces/boot.ts';
import { bringUp } from '../workspaces/bringUp.ts';
import { usableBase } from '../workspaces/heads.ts';
import { collect } from '../workspaces/layerCare.ts';
import type { LoadedMemory } from '../workspaces/memories.ts';
import { resolveWorkspace } from '../workspaces/resolve.ts';
import type { WorkspaceServices } from '../workspaces/services.ts';
import { summarize } from '../workspaces/view.ts';
import { requireContinuable } from './continuable.ts';
import { takeSnapshot, timeStamp } from './create.ts';
import { findSnapshot } from './find.ts';
import { announceSnapshot } from './view.ts';

type Input = ParsedInputOf<'workspace_fork'>;
type Output = OutputOf<'workspace_fork'>;

/** What copies are made of. */
interface Origin {
  readonly source: WorkspaceRecord;
  readonly snapshot: SnapshotRecord;
  /** Null where nothing was frozen for this fork, or nothing ran. */
  readonly pauseMs: number | null;
  /** Runs `work` with the memory copies continue from, or without any. */
  withMemory<T>(work: (from: LoadedMemory | undefined) => Promise<T>): Promise<T>;
}

export interface ForkOptions extends BootOptions {
  readonly made: (record: WorkspaceRecord) => void;
  /** Whom the copies belong to. */
  readonly owner: string | null;
}

/** More at once only wait for each other. */
const atOnce = 8;

/** @throws CoppiceError see workspace_fork in protocol/; what happens to one copy is in the reply */
export async function forkWorkspace(
  services: WorkspaceServices,
  input: Input,
  options: ForkOptions,
): Promise<Output> {
  const started = performance.now();
  const found = resolveWorkspace(services.store, input.workspace_id);
  services.quotas.require({ ...found, owner: options.owner }, input.count ?? 1);
  const origin = await services.locks.run(found.id, () =>
    originOf(services, found.id, input, options),
  );
  const { source, snapshot } = origin;
  const names = childNames(services, source, input);
  const workers: Output['workers'] = [];
  const failures: Output['failures'] = [];
  const live = await origin.withMemory(async (from) => {
    const limit = pLimit(atOnce);
    await Promise.all(
      names.map((name, position) =>
        limit(async () => {
          const index = position + 1;
          try {
            const record = await forkOne(services, origin, name, input, from, options);
            options.made(record);
            workers.push({
              ...summarize(services, record),
              index,
              ready_ms: performance.now() - started,
            });
            options.progress(`${String(workers.length)} of ${String(names.length)} ready`);
          } catch (error) {
            const { code, message } = asCoppiceError(error);
            failures.push({ index, name, code, error: message });
          }
        }),
      ),
    );
    return from !== undefined;
  });
  if (snapshot.implicit) await settleImplicit(services, snapshot);
  workers.sort((a, b) => a.index - b.index);
  failures.sort((a, b) => a.index - b.index);
  return {
    source_workspace_id: source.id,
    source_workspace_name: source.name,
    snapshot_id: snapshot.id,
    snapshot_name: snapshot.name,
    live,
    requested_count: names.length,
    success_count: workers.length,
    failure_count: failures.length,
    pause_ms: origin.pauseMs,
    workers,
    failures,
  };
}

/** The caller holds the source's lock: afterwards its present state may change, what is copied does not. */
async function originOf(
  services: WorkspaceServices,
  id: string,
  input: Input,
  options: BootOptions,
): Promise<Origin> {
  const source = resolveWorkspace(services.store, id);
  await requireDisk(services.paths.state);
  if (input.snapshot_name !== undefined) {
    const snapshot = findSnapshot(services, source, input.snapshot_name);
    await usableBase(services, source, snapshot.layerId);
    return await storedOrigin(services, source, snapshot, input.boot === true);
  }
  await usableBase(services, source, source.baseLayer);
  const { snapshot, frozen } = await takeSnapshot(
    services,
    source,
    {
      name: `fork-${timeStamp(services.now())}`,
      description: '',
      implicit: true,
      memory: input.boot === true || source.state === 'stopped' ? 'none' : 'loaded',
    },
    options.progress,
  );
  const { memory } = frozen;
  if (memory === undefined) {
    const origin = await storedOrigin(services, source, snapshot, input.boot === true);
    return { ...origin, pauseMs: source.state === 'running' ? frozen.pauseMs : null };
  }
  return {
    source,
    snapshot,
    pauseMs: source.state === 'running' ? frozen.pauseMs : null,
    async withMemory(work) {
      try {
        return await work(memory);
      } finally {
        memory.image.release();
      }
    },
  };
}

async function storedOrigin(
  services: WorkspaceServices,
  source: WorkspaceRecord,
  snapshot: SnapshotRecord,
  boot: boolean,
): Promise<Origin> {
  const { memoryId } = snapshot;
  const origin = { source, snapshot, pauseMs: null };
  if (memoryId === null || boot) return { ...origin, withMemory: (work) => work(undefined) };
  await requireContinuable(services, source, snapshot.name, memoryId);
  return { ...origin, withMemory: (work) => services.memories.use(memoryId, work) };
}

async function forkOne(
  services: WorkspaceServices,
  { source, snapshot }: Origin,
  name: string,
  input: Input,
  from: LoadedMemory | undefined,
  options: ForkOptions,
): Promise<WorkspaceRecord> {
  return await bringUp(
    services,
    {
      role: 'user',
      name,
      imageName: source.imageName,
      imageDigest: source.imageDigest,
      vcpus: source.vcpus,
      memoryMb: source.memoryMb,
      diskGb: snapshot.diskGb,
      init: source.init,
      storage: source.storage,
      baseLayer: snapshot.layerId,
      ephemeral: input.ephemeral ?? false,
      idleSuspendSecs: source.idleSuspendSecs,
      network: source.network,
      owner: options.owner,
      // The guest must see another generation than the one in its memory.
      generation: source.generation + 1,
      forkedFrom: {
        source_workspace_id: source.id,
        source_workspace_name: source.name,
        snapshot_id: snapshot.id,
        snapshot_name: snapshot.name,
        live: from !== undefined,
        forked_at: services.now().toISOString(),
      },
    },
    {
      signal: options.signal,
      progress: () => undefined,
      ...(from === undefined ? {} : { from }),
      // Deleted meanwhile? Then its layer may be gone too.
      check: () => void findSnapshot(services, source, snapshot.id),
    },
  );
}

/** A snapshot that no copy came from has served nobody. */
async function settleImplicit(
  services: WorkspaceServices,
  snapshot: SnapshotRecord,
): Promise<void> {
  if (services.store.forkedFromSnapshot(snapshot.id).length > 0) {
    announceSnapshot(services, snapshot.id);
    return;
  }
  services.tree.removeSnapshot(snapshot.id);
  services.publish({
    type: 'snapshot_removed',
    workspace_id: snapshot.workspaceId,
    snapshot_id: snapshot.id,
    name: snapshot.name,
  });
  await collect(services);
}

/** A prefix that was asked for is taken as it is; the one that was not skips names that are taken. */
function childNames(services: WorkspaceServices, source: WorkspaceRecord, input: Input): string[] {
  const count = input.count ?? 1;
  if (count === 1 && input.new_name !== undefined) return [input.new_name];
  const prefix = input.name_prefix ?? input.new_name;
  if (prefix !== undefined) {
    return Array.from({ length: count }, (_, index) => `${prefix}-${String(index + 1)}`);
  }
  const names: string[] = [];
  for (let number = 1; names.length < count; number += 1) {
    const name = `${source.name.slice(0, 110)}-fork-${String(number)}`;
    if (services.store.byName(name) === undefined) names.push(name);
  }
  return names;
}
