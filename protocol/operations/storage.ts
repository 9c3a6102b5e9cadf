import * as z from 'zod';
import { defineOperation } from '../operation.ts';

export const storageStatus = defineOperation({
  name: 'storage_status',
  summary: 'Show where disks and snapshots are and what they take',
  input: z.object({}),
  output: z.object({
    backend: z.enum(['qcow2', 'zfs', 'reflink']),
    location: z.string(),
    free_bytes: z.number(),
    total_bytes: z.number(),
    heads: z.object({ count: z.int(), bytes: z.number() }),
    layers: z.object({ count: z.int(), bytes: z.number() }),
    memories: z.object({ count: z.int(), bytes: z.number() }),
    images: z.object({ count: z.int(), bytes: z.number() }),
    deepest_chain: z.int().describe('Layers below the deepest disk'),
    reclaimable_bytes: z.number().describe('What storage gc would free at once'),
  }),
  risk: 'read',
  retry: 'safe',
  errors: [],
  cli: { command: 'storage status' },
});

export const storageGc = defineOperation({
  name: 'storage_gc',
  summary: 'Free what no machine and no snapshot needs',
  input: z.object({
    dry_run: z.boolean().optional().describe('Only say what would be freed'),
  }),
  output: z.object({
    removed: z.array(z.string()),
    merged: z.int().describe('Layers without a name that were folded into the one above'),
    freed_bytes: z.number(),
  }),
  risk: 'write',
  retry: 'safe',
  errors: [],
  progress: true,
  cli: { command: 'storage gc', flags: { dry_run: '-n, --dry-run' } },
});

export const storageVerify = defineOperation({
  name: 'storage_verify',
  summary: 'Check that every disk, snapshot and memory file is there, whole and unchanged',
  input: z.object({
    deep: z.boolean().optional().describe('Read every byte and compare digests'),
  }),
  output: z.object({
    ok: z.boolean(),
    checked: z.object({
      workspaces: z.int(),
      snapshots: z.int(),
      layers: z.int(),
      memories: z.int(),
    }),
    problems: z.array(
      z.object({
        subject: z.string().describe('What it is about, as a reader knows it'),
        problem: z.string(),
        next: z.string().nullable(),
      }),
    ),
  }),
  risk: 'read',
  retry: 'safe',
  errors: [],
  progress: true,
  cli: { command: 'storage verify' },
});

export const storageInit = defineOperation({
  name: 'storage_init',
  summary: 'Choose where disks live: create or adopt a ZFS pool, or use plain files',
  description:
    'Machines that exist keep the storage they have. Without a backend: ZFS where a pool is named, else reflinks where the file system has them, else qcow2 files.',
  input: z.object({
    backend: z.enum(['qcow2', 'zfs', 'reflink']).optional(),
    pool: z
      .string()
      .max(64)
      .regex(/^[A-Za-z][A-Za-z0-9_.-]*$/, 'not a pool name')
      .optional()
      .describe('ZFS pool to create or adopt'),
    device: z
      .string()
      .max(4096)
      .optional()
      .describe('Partition or file to make the pool on; absent: adopt an existing pool'),
    size_gb: z.int().min(1).max(65_536).optional().describe('Size of a pool file that is made'),
    prefix: z
      .string()
      .max(64)
      .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/, 'not a dataset name')
      .optional()
      .describe('Dataset below the pool; default coppice'),
  }),
  output: z.object({
    backend: z.enum(['qcow2', 'zfs', 'reflink']),
    location: z.string(),
    steps: z.array(z.string()).describe('What was done'),
  }),
  risk: 'write',
  retry: 'safe',
  errors: ['prerequisite_missing', 'permission_denied', 'wrong_state', 'no_space'],
  progress: true,
  cli: { command: 'storage init', positionals: ['backend'] },
});
