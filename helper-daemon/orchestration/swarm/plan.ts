/** What a swarm is to do, worked out before anything is made. */
import type * as z from 'zod';
import { limits } from '../../../protocol/limits.ts';
import { swarmLimits, type swarmStart } from '../../../protocol/operations/swarm.ts';
import type { SwarmTaskRecord } from '../../store/orchestrationStore.ts';

export type SwarmInput = z.output<typeof swarmStart.input>;

/** The part that is stored. */
export interface SwarmPlan {
  readonly tasks: readonly PlannedTask[];
  readonly maxParallel: number;
  readonly timeoutSecs: number;
  readonly cleanup: boolean;
  readonly allowInternet: boolean | null;
  readonly merge: {
    readonly strategy: NonNullable<SwarmInput['merge_strategy']>;
    readonly targetId: string;
    /** As the caller wrote it. */
    readonly target: string;
    readonly path: string;
  } | null;
  /** It has variables or contexts: they are in memory only, so no task can be begun without them. */
  readonly hasSecrets: boolean;
}

export interface PlannedTask {
  readonly name: string;
  readonly command: string;
  readonly workdir: string | null;
  readonly artifacts: readonly string[];
}

const defaultParallel = 4;
const defaultTimeoutSecs = 600;

export function planOf(input: SwarmInput, mergeTargetId: string): SwarmPlan {
  return {
    tasks: input.tasks.map(({ name, command, workdir, artifacts }) => ({
      name,
      command,
      workdir: workdir ?? null,
      artifacts: artifacts ?? [],
    })),
    maxParallel: Math.min(input.max_parallel ?? defaultParallel, swarmLimits.parallel),
    timeoutSecs: input.timeout_secs ?? defaultTimeoutSecs,
    cleanup: input.cleanup ?? true,
    allowInternet: input.allow_internet ?? null,
    merge:
      input.merge_strategy === undefined
        ? null
        : {
            strategy: input.merge_strategy,
            targetId: mergeTargetId,
            target: input.merge_target ?? input.golden_workspace,
            path: input.merge_path ?? '/workspace',
          },
    hasSecrets:
      input.env_vars !== undefined ||
      input.shared_context !== undefined ||
      input.vault_context !== undefined ||
      input.tasks.some(({ env }) => env !== undefined),
  };
}

/** How many workers there are at a time at most. */
export function mostWorkers({ tasks, maxParallel, cleanup, merge }: SwarmPlan): number {
  return cleanup && merge === null ? Math.min(tasks.length, maxParallel) : tasks.length;
}

/** `swarm-20261120-143015`, with a number behind it where that is taken. */
export function newSwarmId(now: Date, isTaken: (id: string) => boolean): string {
  const when = now.toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-');
  for (let number = 1; ; number += 1) {
    const id = number === 1 ? `swarm-${when}` : `swarm-${when}-${String(number)}`;
    if (!isTaken(id)) return id;
  }
}

export function queuedTasks(swarmId: string, plan: SwarmPlan): SwarmTaskRecord[] {
  const taken = new Set<string>();
  return plan.tasks.map(({ name }, position) => {
    const worker = workerName(swarmId, name, taken);
    taken.add(worker);
    return {
      swarmId,
      position,
      name,
      slug: `${String(position + 1)}-${slugOf(name).slice(0, 64)}`,
      workerName: worker,
      state: 'queued',
      workspaceId: null,
      jobId: null,
      exitCode: null,
      timedOut: false,
      error: null,
      artifacts: [],
      stdoutBytes: 0,
      stderrBytes: 0,
      stdoutSkew: 0,
      stderrSkew: 0,
      startedAt: null,
      endedAt: null,
      workerGone: false,
    };
  });
}

/** Only letters, digits, ".", "_" and "-"; never empty, never a dot file. */
export function slugOf(name: string): string {
  const slug = name.replaceAll(/[^A-Za-z0-9._-]+/g, '-').replaceAll(/^[.-]+|[.-]+$/g, '');
  return slug === '' ? 'task' : slug;
}

function workerName(swarmId: string, task: string, taken: ReadonlySet<string>): string {
  for (let number = 1; ; number += 1) {
    const suffix = number === 1 ? '' : `-${String(number)}`;
    const room = limits.nameLength - swarmId.length - 1 - suffix.length;
    const name = `${swarmId}-${slugOf(task).slice(0, room)}${suffix}`;
    if (!taken.has(name)) return name;
  }
}
