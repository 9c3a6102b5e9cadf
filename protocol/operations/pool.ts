import * as z from 'zod';
import { limits } from '../limits.ts';
import { imageName } from '../names.ts';
import { defineOperation } from '../operation.ts';
import { diskGb, memoryMb, vcpus } from './workspaceModel.ts';

export const templateInfo = z.object({
  template_id: z.uuid(),
  base_image: z.string(),
  vcpus,
  memory_mb: memoryMb,
  disk_gb: diskGb,
  state: z.enum(['building', 'ready', 'failed']),
  detail: z.string().nullable().describe('Why it failed'),
  memory_bytes: z.number().describe('Host memory its pages take while they are loaded'),
  loaded: z.boolean(),
  used: z.int().describe('Machines made from it since the daemon started'),
  created_at: z.iso.datetime({ offset: true }),
});
export type TemplateInfo = z.infer<typeof templateInfo>;

export const poolStatus = z.object({
  templates: z.boolean().describe('New machines continue from templates instead of booting'),
  size: z.int().describe('Machines to keep ready'),
  ready: z.int(),
  memory_budget_mb: z.int().describe('Host memory that templates and ready machines may take'),
  memory_used_mb: z.int(),
  template_list: z.array(templateInfo),
});

export type PoolStatus = z.infer<typeof poolStatus>;

export const poolStatusOperation = defineOperation({
  name: 'pool_status',
  summary: 'Show templates and machines that are kept ready',
  input: z.object({}),
  output: poolStatus,
  risk: 'read',
  retry: 'safe',
  errors: [],
  cli: { command: 'pool', aliases: ['pool status'] },
});

export const poolSet = defineOperation({
  name: 'pool_set',
  summary: 'Change how many machines are kept ready',
  input: z.object({
    size: z.int().min(0).max(limits.poolSize.max).optional().describe('Machines to keep ready'),
    memory_budget_mb: z
      .int()
      .min(0)
      .max(1024 * 1024)
      .optional(),
    templates: z.enum(['on', 'off']).optional().describe('off: every new machine boots'),
  }),
  output: poolStatus,
  risk: 'write',
  retry: 'safe',
  errors: [],
  cli: {
    command: 'pool set',
    positionals: ['size'],
    flags: { memory_budget_mb: '-m, --memory-mb' },
  },
});

export const poolPrepare = defineOperation({
  name: 'pool_prepare',
  summary: 'Build the template of an image and size now',
  description: 'Otherwise it is built in the background after the first machine of that kind.',
  input: z.object({
    base_image: imageName.optional(),
    vcpus: vcpus.optional(),
    memory_mb: memoryMb.optional(),
    disk_gb: diskGb.optional(),
    rebuild: z.boolean().optional().describe('Also when there is one'),
  }),
  output: templateInfo,
  risk: 'write',
  retry: 'safe',
  errors: ['image_missing', 'no_memory', 'no_space', 'boot_failed', 'boot_timeout', 'wrong_state'],
  progress: true,
  cli: {
    command: 'pool prepare',
    positionals: ['base_image'],
    flags: { vcpus: '-c, --vcpus', memory_mb: '-m, --memory-mb', disk_gb: '-d, --disk-gb' },
  },
});
