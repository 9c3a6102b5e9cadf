import * as z from 'zod';
import { limits } from '../limits.ts';
import { guestPath, workspaceName, workspaceRef } from '../names.ts';
import { defineOperation } from '../operation.ts';
import { fileEntry } from './file.ts';
import {
  forkedFrom,
  pathChange,
  snapshotDescription,
  snapshotInfo,
  snapshotName,
  snapshotRef,
} from './snapshotModel.ts';
import { workspaceSummary } from './workspaceModel.ts';

const onWorkspace = z.object({ workspace_id: workspaceRef });
const onSnapshot = onWorkspace.extend({ name: snapshotRef });
const ref = ['workspace_id', 'name'] as const;

export const snapshotCreate = defineOperation({
  name: 'snapshot_create',
  summary: 'Remember the state of a machine',
  description: 'Works on running, paused and stopped machines; the machine goes on as it was.',
  input: onWorkspace.extend({
    name: snapshotName.optional().describe('Unique within the workspace; a time stamp when absent'),
    description: snapshotDescription.optional(),
    include_memory: z
      .boolean()
      .optional()
      .describe('Also keep memory and running programs, so that restores and forks continue them'),
  }),
  output: snapshotInfo.extend({
    pause_ms: z.number().describe('How long programs in the machine stood still'),
    consistency: z
      .enum(['memory', 'filesystem', 'crash'])
      .describe('crash: the guest did not answer, files are as after a power cut'),
  }),
  risk: 'write',
  retry: 'unsafe',
  errors: ['not_found', 'name_taken', 'limit_exceeded', 'no_space', 'wrong_state', 'busy'],
  progress: true,
  cli: {
    command: 'snapshot create',
    positionals: ref,
    flags: { include_memory: '-m, --memory', description: '-d, --description' },
  },
});

export const snapshotList = defineOperation({
  name: 'snapshot_list',
  summary: 'Show the tree of snapshots of a machine',
  input: onWorkspace,
  output: z.object({
    workspace_id: z.uuid(),
    name: z.string(),
    current: z.uuid().nullable().describe('Snapshot the present state grew from'),
    forked_from: forkedFrom.nullable(),
    head_bytes: z.number().describe('Space of the changes since the current snapshot'),
    snapshots: z.array(snapshotInfo).describe('Parents before children, oldest first'),
  }),
  risk: 'read',
  retry: 'safe',
  errors: ['not_found'],
  cli: { command: 'snapshot list', aliases: ['snapshot tree'], positionals: ['workspace_id'] },
});

export const snapshotInfoOperation = defineOperation({
  name: 'snapshot_info',
  summary: 'Show one snapshot',
  input: onSnapshot,
  output: snapshotInfo,
  risk: 'read',
  retry: 'safe',
  errors: ['not_found'],
});

export const snapshotRestore = defineOperation({
  name: 'snapshot_restore',
  summary: 'Put a machine back to a snapshot',
  description:
    'Every other snapshot stays. What was changed since the last snapshot is given up unless save_as names a snapshot to keep it in. The machine runs afterwards: it continues from a snapshot with memory and boots from one without.',
  input: onSnapshot.extend({
    save_as: snapshotName.optional().describe('First remember the present state under this name'),
    boot: z.boolean().optional().describe('Boot from the disk even where the snapshot has memory'),
    leave_stopped: z.boolean().optional().describe('Restore the disk only; do not start'),
  }),
  output: workspaceSummary.extend({
    snapshot_id: z.uuid(),
    snapshot_name: z.string(),
    resumed: z.boolean().describe('Continued from memory instead of booting'),
    saved_as: z.string().nullable(),
  }),
  risk: 'destructive',
  retry: 'safe',
  errors: [
    'not_found',
    'snapshot_incompatible',
    'layer_missing',
    'layer_corrupt',
    'memory_missing',
    'memory_corrupt',
    'no_space',
    'no_memory',
    'boot_failed',
    'boot_timeout',
  ],
  progress: true,
  cli: {
    command: 'snapshot restore',
    positionals: ref,
    flags: { save_as: '-s, --save-as', leave_stopped: '--stopped' },
  },
});

export const snapshotDelete = defineOperation({
  name: 'snapshot_delete',
  summary: 'Delete a snapshot; its children move up to its parent',
  input: onSnapshot,
  output: z.object({ workspace_id: z.uuid(), snapshot_id: z.uuid(), name: z.string() }),
  risk: 'destructive',
  retry: 'safe',
  errors: ['not_found', 'has_dependents'],
  cli: { command: 'snapshot delete', aliases: ['snapshot rm'], positionals: ref },
});

export const snapshotRename = defineOperation({
  name: 'snapshot_rename',
  summary: 'Rename or describe a snapshot',
  input: onSnapshot.extend({
    new_name: snapshotName.optional(),
    description: snapshotDescription.optional(),
  }),
  output: snapshotInfo,
  risk: 'write',
  retry: 'safe',
  errors: ['not_found', 'name_taken'],
  cli: {
    command: 'snapshot rename',
    positionals: ['workspace_id', 'name', 'new_name'],
    flags: { description: '-d, --description' },
  },
});

export const snapshotDiff = defineOperation({
  name: 'snapshot_diff',
  summary: 'List what differs between two snapshots, or a snapshot and now',
  description:
    'The machine is not disturbed. Files that a running program has not written yet do not count.',
  input: onWorkspace.extend({
    from: snapshotRef.describe('Snapshot to compare from'),
    to: z
      .string()
      .max(limits.nameLength)
      .optional()
      .describe('Snapshot to compare with; the present state when absent or "head"'),
    path: guestPath.optional().describe('Only below this directory'),
    metadata: z.boolean().optional().describe('Also list changes of owner, mode or time alone'),
    max_results: z.int().min(1).max(limits.diffEntries.max).optional().describe('Default 10000'),
  }),
  output: z.object({
    from: z.string(),
    to: z.string(),
    changes: z.array(pathChange).describe('By path'),
    truncated: z.boolean(),
  }),
  risk: 'read',
  retry: 'safe',
  errors: ['not_found', 'layer_missing', 'layer_corrupt', 'no_memory', 'boot_failed'],
  progress: true,
  cli: { command: 'snapshot diff', positionals: ['workspace_id', 'from', 'to', 'path'] },
});

const atSnapshot = onSnapshot.extend({ path: guestPath.describe('Absolute path in the machine') });

export const snapshotFileList = defineOperation({
  name: 'snapshot_file_list',
  summary: 'List a directory as it was at a snapshot',
  input: atSnapshot,
  output: z.array(fileEntry),
  risk: 'read',
  retry: 'safe',
  errors: [
    'not_found',
    'file_not_found',
    'file_error',
    'layer_missing',
    'no_memory',
    'boot_failed',
  ],
});

export const snapshotFileDownload = defineOperation({
  name: 'snapshot_file_download',
  summary: 'Stream a file as it was at a snapshot',
  input: atSnapshot,
  output: z.object({ ticket: z.string(), size: z.number(), mode: z.int(), modified: z.number() }),
  risk: 'read',
  retry: 'safe',
  errors: [
    'not_found',
    'file_not_found',
    'file_error',
    'layer_missing',
    'no_memory',
    'boot_failed',
  ],
  stream: 'download',
});

const forkedChild = workspaceSummary.extend({
  index: z.int().describe('1 to count'),
  ready_ms: z.number().describe('From the call until the machine answered as itself'),
});

export const workspaceFork = defineOperation({
  name: 'workspace_fork',
  summary: 'Make independent copies of a machine',
  description:
    'From a snapshot, or from the machine as it is at this moment: a running or paused machine is copied with its memory, so that its programs go on in every copy. Each copy gets an identity of its own before anything runs in it. Copies that fail are reported, the others stay.',
  input: onWorkspace.extend({
    snapshot_name: snapshotRef
      .optional()
      .describe('Snapshot to copy; the present state when absent'),
    count: z
      .int()
      .min(1)
      .max(limits.forkCount.max)
      .optional()
      .describe('Number of copies; default 1'),
    new_name: workspaceName.optional().describe('Name of a single copy'),
    name_prefix: workspaceName
      .optional()
      .describe('Copies are named <prefix>-1, -2, …; default <source>-fork'),
    boot: z
      .boolean()
      .optional()
      .describe('Boot the copies from the disk even where there is memory'),
    ephemeral: z
      .boolean()
      .optional()
      .describe('Destroy the copies when the client that made them disconnects'),
  }),
  output: z.object({
    source_workspace_id: z.uuid(),
    source_workspace_name: z.string(),
    snapshot_id: z.uuid(),
    snapshot_name: z.string(),
    live: z.boolean(),
    requested_count: z.int(),
    success_count: z.int(),
    failure_count: z.int(),
    pause_ms: z.number().nullable().describe('How long programs in the source stood still'),
    workers: z.array(forkedChild),
    failures: z.array(
      z.object({ index: z.int(), name: z.string(), code: z.string(), error: z.string() }),
    ),
  }),
  risk: 'write',
  retry: 'unsafe',
  errors: [
    'not_found',
    'name_taken',
    'wrong_state',
    'snapshot_incompatible',
    'memory_missing',
    'memory_corrupt',
    'layer_missing',
    'layer_corrupt',
    'no_space',
    'no_memory',
  ],
  progress: true,
  access: { rate: 'create' },
  cli: {
    command: 'fork',
    positionals: ['workspace_id', 'new_name'],
    flags: { count: '-n, --count', snapshot_name: '-s, --snapshot', name_prefix: '-p, --prefix' },
    hidden: ['ephemeral'],
  },
});
