/** The keys of the configuration file; docs/configuration.md is made from this, too. */
import path from 'node:path';
import * as z from 'zod';

const port = z.int().min(1).max(65_535);
const perMinute = z.int().min(1).max(1_000_000);
const amount = z.union([z.int().min(0), z.literal('unlimited')], {
  error: 'must be a whole number from 0 on, or "unlimited"',
});
const directory = z
  .string()
  .max(4096)
  .refine((text) => path.isAbsolute(text) || text.startsWith('~/'), 'must be an absolute path')
  .refine((text) => !text.includes('\0'), 'must not contain NUL');

const quota = z.object({
  workspaces: amount.optional().describe('Workspaces'),
  vcpus: amount.optional().describe('CPUs of all its workspaces together'),
  memory_mb: amount.optional().describe('Memory of all its workspaces together, in MiB'),
  disk_gb: amount.optional().describe('Disk of all its workspaces together, in GiB'),
});

export const configSchema = z.object({
  resources: z
    .object({
      max_workspaces: z.int().min(1).max(100_000).optional().describe('Workspaces of this host'),
      memory_overcommit: z
        .number()
        .min(0.1)
        .max(100)
        .optional()
        .describe('How many times the memory that is free may be promised to machines'),
    })
    .optional()
    .describe('Limits of the whole host.'),
  quota: z
    .object({
      agent: quota.optional().describe('What each agent may have.'),
      person: quota.optional().describe('What each person may have.'),
    })
    .optional(),
  rate_limit: z
    .object({
      enabled: z.boolean().optional().describe('Whether calls are limited at all'),
      create_per_minute: perMinute
        .optional()
        .describe('Workspaces created or forked, swarms, teams'),
      exec_per_minute: perMinute.optional().describe('Commands'),
      team_message_per_minute: perMinute.optional().describe('Messages between members of teams'),
      default_per_minute: perMinute.optional().describe('Every other change'),
      people: z.boolean().optional().describe('Whether people are limited like agents'),
    })
    .optional()
    .describe('Calls of each caller within a minute.'),
  vault: z
    .object({
      enabled: z.boolean().optional().describe('Whether there is a vault'),
      path: directory
        .optional()
        .describe('Its directory; `vault` in the state directory when absent')
        .meta({ examples: ['/srv/notes'] }),
      extensions: z
        .array(z.string().regex(/^[A-Za-z0-9]{1,16}$/, 'must be an extension without a dot'))
        .max(32)
        .optional()
        .describe('File names that are notes'),
      exclude_dirs: z
        .array(z.string().min(1).max(255))
        .max(64)
        .optional()
        .describe('Directories that are passed over'),
    })
    .optional()
    .describe(
      'Notes that agents share. In system mode every account has its own, unless path names one for all.',
    ),
  server: z
    .object({
      transfer_dir: directory
        .optional()
        .describe(
          'What file_transfer may read and write; `transfers` in the state directory when absent',
        )
        .meta({ examples: ['/srv/transfers'] }),
    })
    .optional(),
  metrics: z
    .object({
      port: port
        .optional()
        .describe(
          'Serve /metrics and /healthz on 127.0.0.1; no port when absent (COPPICE_METRICS_PORT)',
        )
        .meta({ examples: [9464] }),
    })
    .optional(),
  network: z
    .object({
      mode: z
        .enum(['user', 'bridge'])
        .optional()
        .describe('bridge needs root (COPPICE_NETWORK)')
        .meta({ examples: ['bridge'] }),
      subnet: z
        .string()
        .max(64)
        .optional()
        .describe('Addresses of machines (COPPICE_SUBNET)')
        .meta({ examples: ['10.42.0.0/16'] }),
      bridge: z
        .string()
        .max(15)
        .optional()
        .describe('Name of the bridge (COPPICE_BRIDGE)')
        .meta({ examples: ['br-coppice'] }),
      dns_servers: z
        .array(z.string().max(64))
        .min(1)
        .max(8)
        .optional()
        .describe("Where names are looked up; the host's own when absent (COPPICE_DNS)")
        .meta({ examples: [['192.0.2.53']] }),
    })
    .optional()
    .describe('See [network.md](network.md).'),
  vm: z
    .object({
      accelerator: z
        .enum(['kvm', 'tcg'])
        .optional()
        .describe('Probed when absent (COPPICE_ACCEL)')
        .meta({ examples: ['tcg'] }),
      boot_timeout_secs: z
        .int()
        .min(1)
        .max(3600)
        .optional()
        .describe('What a machine may take until it answers (COPPICE_BOOT_TIMEOUT_SECS)')
        .meta({ examples: [120] }),
    })
    .optional(),
  log: z
    .object({
      level: z
        .enum(['debug', 'info', 'warn', 'error'])
        .optional()
        .describe('How much is written to the log (COPPICE_LOG_LEVEL)')
        .meta({ examples: ['info'] }),
    })
    .optional(),
});

export type ConfigFile = z.output<typeof configSchema>;

/** Keys that set what a variable of the environment sets, which comes first. */
export function environmentOf({ network, vm, log }: ConfigFile): Readonly<Record<string, string>> {
  const values: Readonly<Record<string, string | undefined>> = {
    COPPICE_NETWORK: network?.mode,
    COPPICE_SUBNET: network?.subnet,
    COPPICE_BRIDGE: network?.bridge,
    COPPICE_DNS: network?.dns_servers?.join(','),
    COPPICE_ACCEL: vm?.accelerator,
    COPPICE_BOOT_TIMEOUT_SECS: vm?.boot_timeout_secs?.toString(),
    COPPICE_LOG_LEVEL: log?.level,
  };
  return Object.fromEntries(
    Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}
