/** A swarm that is under way: its plan, what only memory holds, and who waits for news of it. */
import path from 'node:path';
import type { SwarmRecord, SwarmTaskRecord } from '../../store/orchestrationStore.ts';
import type { Contexts } from './context.ts';
import type { SwarmHost } from './host.ts';
import type { SwarmPlan } from './plan.ts';

/** Never stored. */
export interface SwarmSecrets {
  readonly env: Readonly<Record<string, string>>;
  /** Of each task. */
  readonly taskEnv: readonly Readonly<Record<string, string>>[];
  readonly contexts: Contexts;
}

export interface LiveSwarm {
  readonly record: SwarmRecord;
  readonly plan: SwarmPlan;
  readonly secrets: SwarmSecrets;
  /** Where everything it leaves is kept. */
  readonly directory: string;
  /** Aborted by whoever cancels it. */
  readonly cancel: AbortController;
  /** Aborted when the daemon ends: nothing is written down any more, and the next daemon goes on. */
  readonly stop: AbortSignal;
  readonly listeners: Set<() => void>;
}

export const noSecrets: SwarmSecrets = {
  env: {},
  taskEnv: [],
  contexts: { shared: undefined, vault: undefined },
};

export function swarmDirectory(host: Pick<SwarmHost, 'directory'>, id: string): string {
  return path.join(host.directory, id);
}

export function taskDirectory(live: LiveSwarm, { slug }: Pick<SwarmTaskRecord, 'slug'>): string {
  return path.join(live.directory, slug);
}

/** Stores a change of a task and tells who waits. */
export function changeTask(
  host: SwarmHost,
  live: LiveSwarm,
  position: number,
  change: Parameters<SwarmHost['rows']['updateTask']>[2],
): void {
  host.rows.updateTask(live.record.id, position, change);
  for (const listener of live.listeners) listener();
}

export function taskRow(host: SwarmHost, live: LiveSwarm, position: number): SwarmTaskRecord {
  const row = host.rows.tasks(live.record.id)[position];
  if (row === undefined) throw new Error(`${live.record.id} has no task ${String(position)}`);
  return row;
}
