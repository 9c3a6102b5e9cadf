import * as z from 'zod';
import { defineOperation } from '../operation.ts';

export const daemonStatus = defineOperation({
  name: 'daemon_status',
  summary: 'Show the daemon, its capacity and what is allocated',
  input: z.object({}),
  output: z.object({
    version: z.string(),
    pid: z.int(),
    mode: z.enum(['user', 'system']),
    started_at: z.iso.datetime({ offset: true }),
    uptime_ms: z.number(),
    rss_bytes: z.number(),
    socket: z.string(),
    state_dir: z.string(),
    log_file: z.string(),
    accelerator: z
      .enum(['kvm', 'tcg'])
      .nullable()
      .describe('null until the first machine needs it'),
    workspaces: z.object({ total: z.int(), running: z.int() }),
    clients: z.int(),
    host: z.object({
      cpus: z.int(),
      memory_total_bytes: z.number(),
      memory_available_bytes: z.number(),
      disk_available_bytes: z.number(),
    }),
    allocated: z.object({ vcpus: z.int(), memory_mb: z.int(), disk_gb: z.int() }),
  }),
  risk: 'read',
  retry: 'safe',
  errors: [],
  cli: { command: 'status' },
});

export const doctorCheck = z.object({
  id: z.string(),
  title: z.string(),
  status: z.enum(['ok', 'warning', 'failed']),
  detail: z.string(),
  fix: z.string().nullable().describe('One thing to do about it'),
});
export type DoctorCheck = z.infer<typeof doctorCheck>;

export const daemonDoctor = defineOperation({
  name: 'daemon_doctor',
  summary: 'Check everything machines need on this host',
  input: z.object({}),
  output: z.object({ ok: z.boolean(), checks: z.array(doctorCheck) }),
  risk: 'read',
  retry: 'safe',
  errors: [],
  cli: { command: 'doctor' },
});

export const daemonStop = defineOperation({
  name: 'daemon_stop',
  summary: 'Stop the daemon; running machines stay up unless asked otherwise',
  input: z.object({
    stop_machines: z.boolean().optional().describe('Shut down every machine first'),
  }),
  output: z.object({ stopped_machines: z.int() }),
  risk: 'write',
  retry: 'safe',
  errors: [],
  cli: { command: 'daemon stop' },
});
