/** Where one workspace keeps its files. Names are ids, never what a caller wrote. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { RunRecord } from '../engine/machine.ts';
import type { MachineRunRecord } from '../store/runStore.ts';
import { makeDirectory } from '../system/directory.ts';
import { directoryMode, type HostPaths } from '../system/paths.ts';

export interface WorkspaceDirectories {
  /** What is kept of the console. */
  readonly state: string;
  readonly consoleLog: string;
  readonly stderrLog: string;
}

export function workspaceDirectories(paths: HostPaths, id: string): WorkspaceDirectories {
  const state = path.join(paths.workspaces, id);
  return {
    state,
    consoleLog: path.join(state, 'console.log'),
    stderrLog: path.join(state, 'stderr.log'),
  };
}

/** Sockets and pid file of one boot. Short, because socket paths are. */
export function runDirectory(paths: HostPaths, runId: string): string {
  return path.join(paths.runtime, runId);
}

/** What the engine needs to find a machine again that a row speaks of. */
export function runReference(paths: HostPaths, run: MachineRunRecord): RunRecord {
  return {
    runId: run.runId,
    runDir: runDirectory(paths, run.runId),
    transport: run.transport,
    ...(run.process === undefined ? {} : { identity: { ...run.process, runId: run.runId } }),
  };
}

export async function makeWorkspaceDirectories(paths: HostPaths, id: string): Promise<void> {
  await makeDirectory(workspaceDirectories(paths, id).state, directoryMode(paths.mode));
}

export async function removeWorkspaceDirectories(paths: HostPaths, id: string): Promise<void> {
  await rm(workspaceDirectories(paths, id).state, { recursive: true, force: true });
}

/** Keeps the last words of a machine for `logs` after it is gone. */
export async function keepLogs(
  paths: HostPaths,
  id: string,
  logs: { readonly console: string; readonly stderr: string },
): Promise<void> {
  const { consoleLog, stderrLog } = workspaceDirectories(paths, id);
  await Promise.all([writeFile(consoleLog, logs.console), writeFile(stderrLog, logs.stderr)]);
}

export async function readKeptLogs(
  paths: HostPaths,
  id: string,
): Promise<{ console: string; stderr: string }> {
  const { consoleLog, stderrLog } = workspaceDirectories(paths, id);
  const read = (file: string): Promise<string> => readFile(file, 'utf8').catch(() => '');
  return { console: await read(consoleLog), stderr: await read(stderrLog) };
}
