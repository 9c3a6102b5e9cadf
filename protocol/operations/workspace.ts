import * as z from 'zod';
import { limits } from '../limits.ts';
import { imageName, workspaceName, workspaceRef } from '../names.ts';
import { defineOperation } from '../operation.ts';
import { networkPolicy, policyInput, portForward } from './networkModel.ts';
import {
  diskGb,
  lifetimeSecs,
  memoryMb,
  owned,
  vcpus,
  workspaceState,
  workspaceSummary,
} from './workspaceModel.ts';

const onWorkspace = z.object({ workspace_id: workspaceRef });
const ttlSecs = lifetimeSecs.describe('Destroy it after this many seconds; 0: never');
const idleSuspendSecs = lifetimeSecs.describe(
  'Suspend to disk after this many seconds without use; 0: never. The next use resumes it',
);

const strict = z.boolean().optional().describe('Fail when it is so already');

export const workspaceCreate = defineOperation({
  name: 'workspace_create',
  summary: 'Create a machine and boot it',
  input: z.object({
    name: workspaceName.optional().describe('Unique name; ws-<short id> when absent'),
    base_image: imageName.optional().describe('Image to start from'),
    vcpus: vcpus.optional().describe('Virtual CPUs'),
    memory_mb: memoryMb.optional().describe('Memory in MiB'),
    disk_gb: diskGb.optional().describe('Disk in GiB'),
    init: z
      .enum(['agent', 'system'])
      .optional()
      .describe("What runs as PID 1: the agent (default) or the image's own init"),
    ...policyInput,
    ephemeral: z
      .boolean()
      .optional()
      .describe('Destroy the machine when the client that created it disconnects'),
    ttl_secs: ttlSecs.optional(),
    idle_suspend_secs: idleSuspendSecs.optional(),
  }),
  output: workspaceSummary.extend({
    boot_time_ms: z.number().describe('Time of the whole call in milliseconds'),
    from_pool: z.boolean().describe('A machine that was kept ready'),
    from_template: z.boolean().describe('Continued from a template instead of booting'),
  }),
  risk: 'write',
  retry: 'unsafe',
  errors: [
    'name_taken',
    'image_missing',
    'image_corrupt',
    'no_space',
    'no_memory',
    'boot_failed',
    'boot_timeout',
    'boot_assets_missing',
    'prerequisite_missing',
  ],
  progress: true,
  access: { rate: 'create' },
  cli: {
    command: 'create',
    positionals: ['name'],
    flags: {
      base_image: '-i, --image',
      vcpus: '-c, --vcpus',
      memory_mb: '-m, --memory-mb',
      disk_gb: '-d, --disk-gb',
      ttl_secs: '--ttl',
      idle_suspend_secs: '--idle-suspend',
    },
    hidden: ['ephemeral', 'allow_internet'],
  },
});

export const workspaceDestroy = defineOperation({
  name: 'workspace_destroy',
  summary: 'Stop a machine and delete its disk',
  input: onWorkspace,
  output: z.object({ workspace_id: z.uuid(), name: z.string() }),
  risk: 'destructive',
  retry: 'safe',
  errors: ['not_found', 'not_owned'],
  access: { adopts: true },
  cli: { command: 'destroy', aliases: ['rm'], positionals: ['workspace_id'] },
});

export const workspaceList = defineOperation({
  name: 'workspace_list',
  summary: 'List all machines',
  input: z.object({
    state_filter: workspaceState.optional().describe('Only machines in this state'),
  }),
  output: z.array(workspaceSummary.extend({ owned })),
  risk: 'read',
  retry: 'safe',
  errors: [],
  cli: { command: 'list', aliases: ['ps'], flags: { state_filter: '--state' } },
});

export const workspaceInfo = defineOperation({
  name: 'workspace_info',
  summary: 'Show everything known about a machine',
  input: onWorkspace,
  output: workspaceSummary.extend({
    owned,
    hostname: z.string(),
    init: z.enum(['agent', 'system']),
    image_digest: z.string(),
    accelerator: z.enum(['kvm', 'tcg']).nullable(),
    transport: z.enum(['virtio-serial', 'vsock']).nullable(),
    pid: z.int().nullable().describe('QEMU process'),
    generation: z.int(),
    network: z
      .object({
        mac: z.string(),
        address: z.string(),
        ...networkPolicy.shape,
        port_forwards: z.array(portForward),
      })
      .describe('Its card, what it may reach and who may reach it'),
    storage: z.enum(['qcow2', 'zfs', 'reflink']),
    idle_suspend_secs: z.int(),
    snapshots: z.int(),
    uptime_ms: z.number().nullable(),
    disk_used_bytes: z.number(),
    disk_volsize_bytes: z.number(),
    guest: z
      .object({
        agent_version: z.string(),
        kernel: z.string(),
        os: z.string(),
        boot_id: z.string(),
        machine_id: z.string(),
      })
      .nullable(),
  }),
  risk: 'read',
  retry: 'safe',
  errors: ['not_found'],
  cli: { command: 'info', positionals: ['workspace_id'] },
});

export const workspaceStart = defineOperation({
  name: 'workspace_start',
  summary: 'Boot a stopped machine',
  input: onWorkspace.extend({ strict }),
  output: workspaceSummary,
  risk: 'write',
  retry: 'safe',
  errors: ['not_found', 'wrong_state', 'no_memory', 'boot_failed', 'boot_timeout', 'image_corrupt'],
  cli: { command: 'start', positionals: ['workspace_id'] },
});

export const workspaceStop = defineOperation({
  name: 'workspace_stop',
  summary: 'Shut a machine down; its disk stays',
  input: onWorkspace.extend({
    force: z.boolean().optional().describe('Cut the power at once instead of shutting down'),
    strict,
  }),
  output: workspaceSummary,
  risk: 'write',
  retry: 'safe',
  errors: ['not_found', 'wrong_state'],
  cli: { command: 'stop', positionals: ['workspace_id'], flags: { force: '-f, --force' } },
});

export const workspacePause = defineOperation({
  name: 'workspace_pause',
  summary: 'Stop time in a machine; its memory stays',
  input: onWorkspace,
  output: workspaceSummary,
  risk: 'write',
  retry: 'safe',
  errors: ['not_found', 'wrong_state', 'guest_unreachable'],
  cli: { command: 'pause', positionals: ['workspace_id'] },
});

export const workspaceSuspend = defineOperation({
  name: 'workspace_suspend',
  summary: 'Write the memory of a machine to disk and end its process; resume continues it',
  input: onWorkspace,
  output: workspaceSummary.extend({ memory_bytes: z.number() }),
  risk: 'write',
  retry: 'safe',
  errors: ['not_found', 'wrong_state', 'guest_unreachable', 'no_space'],
  progress: true,
  cli: { command: 'suspend', positionals: ['workspace_id'] },
});

export const workspaceResume = defineOperation({
  name: 'workspace_resume',
  summary: 'Let a paused or suspended machine go on',
  input: onWorkspace,
  output: workspaceSummary,
  risk: 'write',
  retry: 'safe',
  errors: [
    'not_found',
    'wrong_state',
    'no_memory',
    'snapshot_incompatible',
    'memory_missing',
    'memory_corrupt',
    'boot_failed',
  ],
  progress: true,
  cli: { command: 'resume', positionals: ['workspace_id'] },
});

export const workspaceConfigure = defineOperation({
  name: 'workspace_configure',
  summary: 'Change how long a machine lives and when it is suspended',
  input: onWorkspace.extend({
    ttl_secs: ttlSecs.optional(),
    idle_suspend_secs: idleSuspendSecs.optional(),
  }),
  output: workspaceSummary,
  risk: 'write',
  retry: 'safe',
  errors: ['not_found'],
  cli: {
    command: 'set',
    positionals: ['workspace_id'],
    flags: { ttl_secs: '--ttl', idle_suspend_secs: '--idle-suspend' },
  },
});

export const workspaceLogs = defineOperation({
  name: 'workspace_logs',
  summary: 'Show what a machine wrote on its console',
  input: onWorkspace.extend({
    log_type: z.enum(['console', 'stderr', 'all']).optional().describe('Default: all'),
    max_lines: z
      .int()
      .min(1)
      .max(limits.logLines.max)
      .optional()
      .describe('Last lines; default 100'),
  }),
  output: z.object({ console: z.string().optional(), stderr: z.string().optional() }),
  risk: 'read',
  retry: 'safe',
  errors: ['not_found'],
  cli: {
    command: 'logs',
    positionals: ['workspace_id'],
    flags: { log_type: '-t, --type', max_lines: '-n, --lines' },
  },
});

export const workspaceStats = defineOperation({
  name: 'workspace_stats',
  summary: 'Show the load of a machine, inside and on the host',
  input: onWorkspace,
  output: z.object({
    workspace_id: z.uuid(),
    name: z.string(),
    uptime_ms: z.number(),
    cpu_busy_ms: z.number(),
    cpu_total_ms: z.number(),
    load1: z.number(),
    processes: z.int(),
    memory_total_bytes: z.number(),
    memory_available_bytes: z.number(),
    disk_total_bytes: z.number(),
    disk_available_bytes: z.number(),
    agent_rss_bytes: z.number(),
    host_rss_bytes: z.number().describe('Resident memory of the QEMU process'),
    host_private_bytes: z.number().describe('Memory it shares with no other machine'),
    host_proportional_bytes: z.number().describe('Private memory and its share of the rest'),
    host_cpu_ms: z.number(),
    host_disk_bytes: z.number().describe("Space the machine's own disk layers take on the host"),
  }),
  risk: 'read',
  retry: 'safe',
  errors: ['not_found', 'wrong_state', 'guest_unreachable'],
  cli: { command: 'stats', positionals: ['workspace_id'] },
});
