/** Swarms: one command in each of many copies of a prepared machine. */
import * as z from 'zod';
import { errorCodes } from '../errors.ts';
import { limits } from '../limits.ts';
import { envVars, guestPath, workspaceRef } from '../names.ts';
import { defineOperation } from '../operation.ts';
import { mergeStrategies } from './merge.ts';
import { exec } from './process.ts';
import { snapshotRef } from './snapshotModel.ts';

const { command, workdir, env } = exec.input.shape;

export const swarmLimits = {
  tasks: 20,
  parallel: 20,
  artifacts: 16,
  contextBytes: 1024 * 1024,
} as const;

const taskName = z
  .string()
  .min(1)
  .max(128)
  .regex(/^[^\u0000-\u001f\u007f]+$/, 'must be one line of plain text');

const swarmTask = z.object({
  name: taskName.describe('Unique within the swarm'),
  command,
  workdir,
  env,
  artifacts: z
    .array(guestPath)
    .max(swarmLimits.artifacts)
    .optional()
    .describe('Files and directories to fetch when it has ended; at most 64 MiB each'),
});

const mergeStrategy = z.enum(mergeStrategies);

const vaultContext = z.object({
  kind: z.enum(['search', 'read']).optional().describe('Default: search'),
  query: z.string().min(1).max(1024).describe('Words to search for, or the path of a note'),
});
export type VaultContext = z.infer<typeof vaultContext>;

const swarmId = z
  .string()
  .min(1)
  .max(64)
  .regex(/^swarm-[0-9-]+$/, 'not the id of a swarm');

export const swarmStart = defineOperation({
  name: 'swarm_start',
  summary: 'Run one command in each of many copies of a machine',
  description:
    'Forks a worker for each task from a snapshot, live where the snapshot has memory, runs its command, collects output and artifacts, merges the successful workers if asked to, and destroys the workers. It returns at once and goes on whatever becomes of the caller; wait for it with swarm_results.',
  input: z.object({
    golden_workspace: workspaceRef.describe('Machine the workers are copies of'),
    snapshot_name: snapshotRef.optional().describe('Its snapshot; default golden'),
    tasks: z
      .array(swarmTask)
      .min(1)
      .max(swarmLimits.tasks)
      .refine(
        (tasks) => new Set(tasks.map(({ name }) => name)).size === tasks.length,
        'names must be unique',
      ),
    env_vars: envVars.optional().describe('For every worker; kept in their memory only'),
    merge_strategy: mergeStrategy
      .optional()
      .describe('Merge what the successful workers committed into merge_target'),
    merge_target: workspaceRef.optional().describe('Default: the golden workspace'),
    merge_path: guestPath.optional().describe('Repository in the machines; default /workspace'),
    max_parallel: z
      .int()
      .min(1)
      .optional()
      .describe('Workers that are made or run at a time; default 4, at most 20'),
    timeout_secs: z
      .number()
      .positive()
      .max(limits.timeoutSecs.max)
      .optional()
      .describe('For each task; default 600'),
    cleanup: z.boolean().optional().describe('Destroy the workers at the end; default true'),
    allow_internet: z.boolean().optional().describe('For the workers; default: as the source'),
    vault_context: z
      .array(vaultContext)
      .max(20)
      .optional()
      .describe('Knowledge for every worker: /tmp/.vault-context and VAULT_CONTEXT'),
    shared_context: z
      .string()
      .refine((text) => Buffer.byteLength(text) <= swarmLimits.contextBytes, 'is longer than 1 MiB')
      .optional()
      .describe('Text for every worker: /tmp/.shared-context and SHARED_CONTEXT'),
    mcp_bridge: z.boolean().optional().describe('Not available'),
  }),
  output: z.object({
    swarm_id: z.string(),
    tasks: z.int(),
    output_dir: z.string().describe('Where everything the tasks leave is kept on the host'),
  }),
  risk: 'write',
  retry: 'unsafe',
  errors: [
    'not_found',
    'not_owned',
    'wrong_state',
    'quota_exceeded',
    'rate_limited',
    'prerequisite_missing',
    'snapshot_incompatible',
    'no_space',
  ],
  access: { owns: ['golden_workspace', 'merge_target'], rate: 'create' },
});

export const swarmState = z.enum(['running', 'merging', 'cleaning', 'done', 'failed', 'cancelled']);
export type SwarmState = z.infer<typeof swarmState>;

const swarmTaskState = z.enum(['queued', 'forking', 'running', 'done', 'failed', 'cancelled']);
export type SwarmTaskState = z.infer<typeof swarmTaskState>;

const counts = z.object({
  queued: z.int(),
  forking: z.int(),
  running: z.int(),
  done: z.int(),
  failed: z.int(),
  cancelled: z.int(),
});

const head = {
  swarm_id: z.string(),
  state: swarmState,
  golden_workspace: z.string(),
  snapshot_name: z.string().describe('Its real name'),
  started_at: z.iso.datetime({ offset: true }),
  ended_at: z.iso.datetime({ offset: true }).nullable(),
  elapsed_ms: z.number(),
};

const taskHead = {
  name: z.string(),
  state: swarmTaskState,
  workspace_id: z.uuid().nullable(),
  workspace_name: z.string().nullable(),
  elapsed_ms: z.number(),
};

const artifact = z.object({
  path: z.string().describe('In the machine'),
  file: z.string().nullable().describe('On the host; null when it could not be fetched'),
  bytes: z.number(),
  error: z.string().nullable(),
});
export type SwarmArtifact = z.infer<typeof artifact>;

/** Absent: the newest swarm of the caller. */
const whichSwarm = swarmId.optional().describe('Default: your newest swarm');

export const swarmStatus = defineOperation({
  name: 'swarm_status',
  summary: 'Show how far a swarm is',
  input: z.object({ swarm_id: whichSwarm }),
  output: z.object({
    ...head,
    counts,
    tasks: z.array(
      z.object({
        ...taskHead,
        exit_code: z.int().nullable(),
        stdout_bytes: z.number(),
        stderr_bytes: z.number(),
        error: z.string().nullable(),
      }),
    ),
    output_dir: z.string(),
  }),
  risk: 'read',
  retry: 'safe',
  errors: ['not_found', 'not_owned'],
  cli: { command: 'swarm status', positionals: ['swarm_id'] },
});

export const swarmResults = defineOperation({
  name: 'swarm_results',
  summary: 'Show what the tasks of a swarm left',
  description:
    'Before it has ended: the tasks that have. Output beyond what fits is cut in the middle; all of it is in output_dir.',
  input: z.object({
    swarm_id: whichSwarm,
    wait_secs: z
      .number()
      .min(0)
      .max(limits.waitSecs.max)
      .optional()
      .describe('Wait this long for its end'),
  }),
  output: z.object({
    ...head,
    tasks: z.array(
      z.object({
        ...taskHead,
        success: z.boolean(),
        exit_code: z.int().describe('-1 when it did not end by itself, or not yet'),
        timed_out: z.boolean(),
        stdout: z.string(),
        stderr: z.string(),
        artifacts: z.array(artifact),
      }),
    ),
    summary: z.object({
      total_tasks: z.int(),
      succeeded: z.int(),
      failed: z.int(),
      total_elapsed_ms: z.number(),
      workers_destroyed: z.int(),
      mcp_bridge: z.boolean(),
    }),
    merge: z
      .object({
        strategy: mergeStrategy,
        target_workspace: z.string(),
        detail: z.string().optional().describe('Reply of the merge, as JSON'),
        kept: z
          .array(z.string())
          .describe('Workers that were not destroyed: their commits are nowhere else'),
        error: z.string().optional(),
      })
      .optional(),
    error: z
      .object({ code: z.enum(errorCodes), message: z.string(), next: z.string().optional() })
      .nullable()
      .describe('Why nothing could be run'),
    output_dir: z.string(),
  }),
  risk: 'read',
  retry: 'safe',
  errors: ['not_found', 'not_owned'],
  progress: true,
  cli: {
    command: 'swarm results',
    positionals: ['swarm_id'],
    flags: { wait_secs: '-w, --wait' },
  },
});

export const swarmCancel = defineOperation({
  name: 'swarm_cancel',
  summary: 'End a swarm: its tasks are killed, its workers destroyed',
  input: z.object({ swarm_id: swarmId }),
  output: z.object({ swarm_id: z.string(), state: swarmState }),
  risk: 'destructive',
  retry: 'safe',
  errors: ['not_found', 'not_owned'],
  cli: { command: 'swarm cancel', positionals: ['swarm_id'] },
});

export const swarmList = defineOperation({
  name: 'swarm_list',
  summary: 'List your swarms, newest first',
  input: z.object({}),
  output: z.array(z.object({ ...head, counts })),
  risk: 'read',
  retry: 'safe',
  errors: [],
  cli: { command: 'swarm list' },
});
