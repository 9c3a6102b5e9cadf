/**
 * What a starting daemon does with what the one before it left: it finishes or undoes interrupted
 * mutations, takes over machines that run, and removes what nobody owns.
 */
import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { asCoppiceError } from '../../protocol/errors.ts';
import { isUuid } from '../../protocol/names.ts';
import type { Machine } from '../engine/machine.ts';
import type { GuestLink } from '../guest/guestLink.ts';
import type { JournalEntry } from '../store/journal.ts';
import type { MachineRunRecord } from '../store/runStore.ts';
import type { WorkspaceRecord } from '../store/workspaceStore.ts';
import { introduce, watch } from './boot.ts';
import { removeEverything } from './destroy.ts';
import { runDirectory, runReference } from './directories.ts';
import { settleFreeze } from './recoverFreeze.ts';
import { settleFold, collect } from './layerCare.ts';
import { memoryDirectory } from './memories.ts';
import { connectCard } from './network.ts';
import type { WorkspaceServices } from './services.ts';
import { changeState } from './view.ts';

/** A monitor that does not answer may only be slow on a busy host. */
const adoptionAttempts = 3;
/** A guest that has to be let go on should answer within this. */
const releaseMs = 10_000;

export async function recover(services: WorkspaceServices): Promise<void> {
  const interrupted = new Map<string, JournalEntry[]>();
  for (const entry of services.journal.open()) {
    interrupted.set(entry.subject, [...(interrupted.get(entry.subject) ?? []), entry]);
  }
  await Promise.all(
    services.store.all().map(async (record) => {
      const entries = interrupted.get(record.id) ?? [];
      interrupted.delete(record.id);
      await services.locks
        .run(record.id, () => recoverWorkspace(services, record, entries))
        .catch((error: unknown) => {
          // One that cannot be settled (its storage is away) must not keep the others from their owners; its
          // journal entries stay for the next start.
          services.log.error({ workspace: record.id, err: error }, 'workspace not recovered');
          const problem = `It could not be recovered: ${asCoppiceError(error).message}`;
          changeState(services, record.id, { problem });
        });
    }),
  );
  for (const entry of [...interrupted.values()].flat()) {
    if (entry.kind === 'fold') {
      await settleFold(services, entry.subject, entry.detail['parent'] || null);
    }
    services.journal.end(entry.id);
  }
  dropUnusedForkPoints(services);
  await collect(services).catch((error: unknown) => {
    services.log.warn({ err: error }, 'not everything that nobody needs could be removed');
  });
  await removeStrangers(services);
}

/** A fork was interrupted between its snapshot and the first copy. */
function dropUnusedForkPoints({ store, tree }: WorkspaceServices): void {
  for (const { id, implicit } of tree.snapshots()) {
    if (implicit && store.forkedFromSnapshot(id).length === 0) tree.removeSnapshot(id);
  }
}

async function recoverWorkspace(
  services: WorkspaceServices,
  record: WorkspaceRecord,
  entries: readonly JournalEntry[],
): Promise<void> {
  const began = (kind: JournalEntry['kind']): JournalEntry | undefined =>
    entries.find((entry) => entry.kind === kind);
  // Nobody was told that a create had succeeded, an ephemeral machine's owner has lost its connection, and what
  // the daemon made for itself is made anew: none is wanted any more.
  const unwanted = began('create') ?? began('destroy') ?? began('import');
  if (unwanted !== undefined || record.ephemeral || record.role !== 'user') {
    const id = unwanted?.id ?? services.journal.begin('destroy', record.id);
    services.log.info({ workspace: record.id, after: unwanted?.kind ?? record.role }, 'removing');
    await removeEverything(services, record, id);
  } else {
    await continueWorkspace(services, record, entries);
  }
  for (const entry of entries) services.journal.end(entry.id);
}

async function continueWorkspace(
  services: WorkspaceServices,
  record: WorkspaceRecord,
  entries: readonly JournalEntry[],
): Promise<void> {
  const run = services.runs.of(record.id);
  const ending = record.state === 'stopping' || entries.some(({ kind }) => kind === 'stop');
  // A suspended workspace is its memory file: a machine beside it has not run yet, or not ended yet.
  const wanted = run !== undefined && !ending && record.state !== 'suspended';
  const machine = wanted ? await adoptPatiently(services, record, run) : undefined;
  const fold = entries.find(({ kind }) => kind === 'fold');
  if (fold !== undefined) await settleFold(services, record.id, fold.detail['parent'] || null);
  const freeze = entries.find(({ kind }) => kind === 'freeze');
  if (freeze !== undefined) await settleFreeze(services, record, freeze.detail, machine);
  if (machine !== undefined && run !== undefined) {
    await takeOver(services, record, run, machine, entries);
    return;
  }
  if (run !== undefined) {
    const reference = runReference(services.paths, run);
    await services.engine.reap(reference);
    await services.network.detach({ workspaceId: record.id, ...reference });
    services.runs.remove(record.id);
  }
  if (record.state !== 'suspended') settleAsStopped(services, record, ending);
}

async function takeOver(
  services: WorkspaceServices,
  record: WorkspaceRecord,
  run: MachineRunRecord,
  machine: Machine,
  entries: readonly JournalEntry[],
): Promise<void> {
  const link = services.openGuestLink({
    machine,
    channelKey: run.channelKey,
    generation: record.generation,
  });
  const key = { workspaceId: record.id, ...runReference(services.paths, run) };
  await connectCard(services, key, machine).catch((error: unknown) => {
    // It has the network it had, or none; its owner needs the machine in any case.
    services.log.error({ workspace: record.id, err: error }, 'network of a machine not taken over');
  });
  // The daemon before may have died before it could write down which process it had started.
  services.lightly(() => services.runs.setProcess(run.runId, machine.identity));
  watch(services, { workspaceId: record.id, runId: run.runId, machine, link });
  const paused = record.state === 'paused' && !entries.some(({ kind }) => kind === 'resume');
  if (record.state === 'starting') await introduceOrGiveUp(services, record, machine, link);
  else if (!paused && entries.length > 0) await letGoOn(services, record, machine, link);
  changeState(services, record.id, { state: paused ? 'paused' : 'running' });
  services.log.info({ workspace: record.id, pid: machine.identity.pid }, 'machine taken over');
}

/** Undefined when it is gone, or lives but cannot be controlled any more. */
async function adoptPatiently(
  services: WorkspaceServices,
  record: WorkspaceRecord,
  run: MachineRunRecord,
): Promise<Machine | undefined> {
  for (let attempt = 1; attempt <= adoptionAttempts; attempt += 1) {
    try {
      return await services.engine.adopt({
        ...runReference(services.paths, run),
        paused: record.state === 'paused',
      });
    } catch (error) {
      services.log.warn({ workspace: record.id, attempt, err: error }, 'machine not taken over');
    }
  }
  return undefined;
}

/** A machine whose boot was interrupted may not have been told who it is. */
async function introduceOrGiveUp(
  services: WorkspaceServices,
  record: WorkspaceRecord,
  machine: Machine,
  link: GuestLink,
): Promise<void> {
  try {
    await link.connect(AbortSignal.timeout(services.bootTimeoutMs));
    await introduce(services, record, link);
  } catch (error) {
    services.log.warn({ workspace: record.id, err: error }, 'interrupted boot did not finish');
    await machine.powerOff();
  }
}

/** The daemon died while it had brought the guest to rest. */
async function letGoOn(
  services: WorkspaceServices,
  record: WorkspaceRecord,
  machine: Machine,
  link: GuestLink,
): Promise<void> {
  try {
    await machine.resume();
    await link.connect(AbortSignal.timeout(releaseMs));
    const { system } = await link.clients();
    await system.thaw({});
    await system.release({});
  } catch (error) {
    services.log.warn({ workspace: record.id, err: error }, 'guest not released');
  }
}

function settleAsStopped(
  services: WorkspaceServices,
  record: WorkspaceRecord,
  ending: boolean,
): void {
  const wasUp = ['running', 'starting', 'paused'].includes(record.state);
  const problem =
    wasUp && !ending
      ? 'Its machine was gone or could not be reached when the daemon started (the host may have been restarted).'
      : record.problem;
  changeState(services, record.id, { state: 'stopped', problem });
}

/**
 * Removes directories, disks and memory files of ours that no row owns. Only names we give (ids) inside
 * directories that are ours alone are touched.
 */
async function removeStrangers(services: WorkspaceServices): Promise<void> {
  const { paths, store } = services;
  const known = new Set(store.all().map((record) => record.id));
  const runs = new Set(services.runs.all().map((run) => run.runId));
  for (const name of await namesIn(paths.workspaces)) {
    if (isUuid(name) && !known.has(name)) {
      services.log.warn({ workspace: name }, 'removing a directory without a workspace');
      await rm(path.join(paths.workspaces, name), { recursive: true, force: true });
    }
  }
  for (const name of await namesIn(paths.runtime)) {
    if (!isUuid(name) || runs.has(name)) continue;
    services.log.warn({ run: name }, 'reaping a machine without a workspace');
    await services.engine.reap({
      runId: name,
      runDir: runDirectory(paths, name),
    });
  }
  await removeUnownedStorage(services);
}

/** Heads, layers and memory files without a row and without a mutation that is about to write one. */
export async function removeUnownedStorage(services: WorkspaceServices): Promise<string[]> {
  const removed: string[] = [];
  for (const { storage, locator } of await unownedDisks(services)) {
    services.log.warn({ locator }, 'removing a disk that nobody owns');
    await services.storages.named(storage).discard(locator);
    removed.push(locator);
  }
  for (const file of await unownedMemories(services)) {
    services.log.warn({ file }, 'removing memory that nobody owns');
    await rm(file, { force: true });
    removed.push(file);
  }
  return removed;
}

export async function unownedDisks(
  services: WorkspaceServices,
): Promise<{ storage: WorkspaceRecord['storage']; locator: string }[]> {
  const unowned: { storage: WorkspaceRecord['storage']; locator: string }[] = [];
  for (const storage of services.storages.inUse()) {
    // Looked at before the rows: whatever appears meanwhile is not in it.
    const there = await storage.all();
    const owned = new Set<string>();
    for (const record of services.store.all()) owned.add(record.head);
    for (const layer of services.tree.layers()) owned.add(layer.locator);
    const busy = services.journal
      .open()
      .flatMap(({ detail, subject }) => [subject, ...Object.values(detail)]);
    for (const locator of there) {
      if (owned.has(locator) || busy.some((id) => id !== '' && locator.includes(id))) continue;
      unowned.push({ storage: storage.name, locator });
    }
  }
  return unowned;
}

export async function unownedMemories(services: WorkspaceServices): Promise<string[]> {
  const directory = memoryDirectory(services.paths);
  const there = await namesIn(directory);
  const owned = new Set(services.tree.memories().map(({ id }) => id));
  const busy = services.journal.open().length > 0;
  return there
    .filter((name) => !busy && !owned.has(name.slice(0, 36)))
    .map((name) => path.join(directory, name));
}

async function namesIn(directory: string): Promise<string[]> {
  return await readdir(directory).catch(() => []);
}
