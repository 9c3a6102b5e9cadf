/**
 * What a starting daemon does with what the one before it left: it finishes or undoes interrupted
 * mutations, takes over machines that run, and removes what nobody owns.
 */
import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { isUuid } from '../../protocol/names.ts';
import type { Machine } from '../engine/machine.ts';
import type { GuestLink } from '../guest/guestLink.ts';
import type { JournalEntry } from '../store/journal.ts';
import type { MachineRunRecord, WorkspaceRecord } from '../store/workspaceStore.ts';
import { introduce, watch } from './boot.ts';
import { removeEverything } from './destroy.ts';
import { runDirectory, runReference } from './directories.ts';
import type { WorkspaceServices } from './services.ts';
import { changeState } from './view.ts';

/** A monitor that does not answer may only be slow on a busy host. */
const adoptionAttempts = 3;

export async function recover(services: WorkspaceServices): Promise<void> {
  const interrupted = new Map<string, JournalEntry>();
  for (const entry of services.journal.open()) interrupted.set(entry.subject, entry);
  await Promise.all(
    services.store.all().map((record) => recoverWorkspace(services, record, interrupted)),
  );
  for (const entry of interrupted.values()) services.journal.end(entry.id);
  await removeStrangers(services);
}

async function recoverWorkspace(
  services: WorkspaceServices,
  record: WorkspaceRecord,
  interrupted: Map<string, JournalEntry>,
): Promise<void> {
  const entry = interrupted.get(record.id);
  interrupted.delete(record.id);
  await services.locks.run(record.id, async () => {
    // Nobody was told that a create had succeeded, and an ephemeral machine's owner has lost its
    // connection: neither is wanted any more.
    if (entry?.kind === 'create' || entry?.kind === 'destroy' || record.ephemeral) {
      const id = entry?.id ?? services.journal.begin('destroy', record.id);
      services.log.info({ workspace: record.id, after: entry?.kind ?? 'ephemeral' }, 'removing');
      await removeEverything(services, record, id);
      return;
    }
    const run = services.store.runOf(record.id);
    const running =
      run !== undefined && entry?.kind !== 'stop' && (await takeOver(services, record, run));
    if (!running) await settleAsStopped(services, record, run, entry);
    if (entry !== undefined) services.journal.end(entry.id);
  });
}

/** True when the workspace's machine is alive and belongs to this daemon again. */
async function takeOver(
  services: WorkspaceServices,
  record: WorkspaceRecord,
  run: MachineRunRecord,
): Promise<boolean> {
  const machine = await adoptPatiently(services, record, run);
  if (machine === undefined) return false;
  const link = services.openGuestLink({
    machine,
    channelKey: run.channelKey,
    generation: record.generation,
  });
  watch(services, { workspaceId: record.id, runId: run.runId, machine, link });
  if (record.state === 'starting') await introduceOrGiveUp(services, record, machine, link);
  changeState(services, record.id, { state: 'running' });
  services.log.info({ workspace: record.id, pid: machine.identity.pid }, 'machine taken over');
  return true;
}

/** Undefined when it is gone, or lives but cannot be controlled any more. */
async function adoptPatiently(
  services: WorkspaceServices,
  record: WorkspaceRecord,
  run: MachineRunRecord,
): Promise<Machine | undefined> {
  for (let attempt = 1; attempt <= adoptionAttempts; attempt += 1) {
    try {
      return await services.engine.adopt(runReference(services.paths, run));
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
    await introduce(record, link);
  } catch (error) {
    services.log.warn({ workspace: record.id, err: error }, 'interrupted boot did not finish');
    await machine.powerOff();
  }
}

async function settleAsStopped(
  services: WorkspaceServices,
  record: WorkspaceRecord,
  run: MachineRunRecord | undefined,
  entry: JournalEntry | undefined,
): Promise<void> {
  if (run !== undefined) {
    await services.engine.reap(runReference(services.paths, run));
    services.store.removeRun(record.id);
  }
  const wasUp = record.state === 'running' || record.state === 'starting';
  const problem =
    wasUp && entry?.kind !== 'stop'
      ? 'Its machine was gone or could not be reached when the daemon started (the host may have been restarted).'
      : record.problem;
  changeState(services, record.id, { state: 'stopped', problem });
}

/**
 * Removes directories of ours that no row owns. Only names we give (ids) inside directories that are
 * ours alone are touched.
 */
async function removeStrangers(services: WorkspaceServices): Promise<void> {
  const { paths, store } = services;
  const known = new Set(store.all().map((record) => record.id));
  const runs = new Set(store.allRuns().map((run) => run.runId));
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
}

async function namesIn(directory: string): Promise<string[]> {
  return await readdir(directory).catch(() => []);
}
