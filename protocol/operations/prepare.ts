import * as z from 'zod';
import { workspaceName } from '../names.ts';
import { defineOperation } from '../operation.ts';
import { exec } from './process.ts';
import { workspaceCreate } from './workspace.ts';
import { workspaceState } from './workspaceModel.ts';

const { base_image, vcpus, memory_mb, disk_gb } = workspaceCreate.input.shape;

/** One argument of git: nothing a shell or git itself would take for anything but an address. */
const cloneUrl = z
  .string()
  .min(1)
  .max(4096)
  .refine(
    (url) => /^(https?|git|ssh):\/\//.test(url) || (url.includes('@') && url.includes(':')),
    'must start with https://, http://, git:// or ssh://, or be user@host:path',
  )
  .refine((url) => !/[;|&$`'"\\\s]/.test(url), 'must not contain ; | & $ ` \' " \\ or blanks')
  .refine((url) => !url.startsWith('-'), 'must not start with "-"');

export const workspacePrepare = defineOperation({
  name: 'workspace_prepare',
  summary: 'Set a machine up once and keep it as a golden snapshot to fork from',
  description:
    'Creates the machine (with internet), clones git_url into /workspace, runs the setup commands in order, and takes the snapshot "golden". The same call again returns at once; with other inputs it is prepared again, and the snapshot is replaced only when that has succeeded. It goes on when the caller goes away: the same call joins it.',
  input: z.object({
    name: workspaceName.describe('Name of the machine; gets a suffix when somebody else has it'),
    base_image,
    git_url: cloneUrl.optional().describe('Repository to clone into /workspace'),
    setup_commands: z
      .array(exec.input.shape.command)
      .max(100)
      .optional()
      .describe('Shell commands, run in order; the first that fails ends it'),
    timeout_secs: exec.input.shape.timeout_secs.describe('For each command; default 300'),
    vcpus,
    memory_mb,
    disk_gb,
  }),
  output: z.object({
    workspace_id: z.uuid(),
    name: z.string().describe('May carry a suffix'),
    snapshot_name: z.string(),
    snapshot_id: z.uuid(),
    ip: z.string().nullable(),
    state: workspaceState,
    has_memory: z.boolean().describe('Forks of it continue its programs instead of booting'),
    reused_existing: z.boolean().describe('It was prepared with the same inputs before'),
    saved_as: z
      .string()
      .nullable()
      .describe('Snapshot of what the machine held before it was prepared again'),
    previous_snapshot: z
      .string()
      .nullable()
      .describe('Name the golden snapshot before this one was given, because it is still needed'),
  }),
  risk: 'write',
  retry: 'safe',
  errors: [
    'busy',
    'name_taken',
    'not_owned',
    'quota_exceeded',
    'wrong_state',
    'command_failed',
    'git_error',
    'image_missing',
    'no_space',
    'no_memory',
    'boot_failed',
    'boot_timeout',
  ],
  progress: true,
  access: { owns: [] },
  cli: {
    command: 'prepare',
    positionals: ['name'],
    flags: {
      base_image: '-i, --image',
      git_url: '-g, --git-url',
      setup_commands: '-s, --setup',
      timeout_secs: '--timeout',
      vcpus: '-c, --vcpus',
      memory_mb: '-m, --memory-mb',
      disk_gb: '-d, --disk-gb',
    },
  },
});
