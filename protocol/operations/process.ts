import * as z from 'zod';
import { limits } from '../limits.ts';
import { envVars, guestPath, workspaceRef } from '../names.ts';
import { defineOperation } from '../operation.ts';

export const commandText = z
  .string()
  .min(1)
  .refine((text) => !text.includes('\0'), 'must not contain NUL')
  .refine((text) => Buffer.byteLength(text) <= limits.commandBytes, 'is longer than 1 MiB');

export const timeoutSecs = z.number().positive().max(limits.timeoutSecs.max);

export const howToRun = {
  workdir: guestPath.optional().describe('Working directory; /workspace where it exists'),
  env: envVars.optional().describe('Variables, over those of the image'),
  user: z
    .string()
    .regex(/^[A-Za-z0-9._-]{1,64}$/, 'not a user name or uid')
    .optional()
    .describe('Account in the machine; root when absent'),
};

const outputFile = guestPath.describe(
  'File in the machine that gets all of stdout while the command runs; stderr goes to the same name with .stderr',
);

export const exitResult = z.object({
  exit_code: z.int().describe('0 to 255; -1 when a signal or the time limit ended it'),
  signal: z.int().nullable().describe('Signal that ended it'),
  timed_out: z.boolean(),
  duration_ms: z.number().describe('Measured in the machine'),
  stdout_bytes: z.number(),
  stderr_bytes: z.number(),
  output_file_problem: z
    .string()
    .optional()
    .describe('Why not all of the output is in output_file'),
});
export type ExitResult = z.infer<typeof exitResult>;

export const terminalSize = z.object({
  columns: z.int().min(1).max(10_000),
  rows: z.int().min(1).max(10_000),
});
export type TerminalSize = z.infer<typeof terminalSize>;

const processInfo = z.object({
  job_id: z.int(),
  pid: z.int(),
  command: z.string(),
  label: z.string(),
  terminal: z.boolean(),
  kept: z.boolean().describe('Lives on when its client goes away'),
  started_at: z.iso.datetime({ offset: true }),
  running: z.boolean(),
  exit: exitResult.nullable(),
  stdout_bytes: z.number(),
  stderr_bytes: z.number(),
  attached_clients: z.int(),
  output_file: z.string().optional().describe('File in the machine that has all of stdout'),
});
export type ProcessInfo = z.infer<typeof processInfo>;

const guestErrors = [
  'not_found',
  'wrong_state',
  'guest_unreachable',
  'not_started',
  'outcome_unknown',
] as const;

export const exec = defineOperation({
  name: 'exec',
  summary: 'Run a command in a machine and return its output',
  description:
    'The command runs as /bin/sh -c. Output above max_output_bytes is kept as head and tail with a count between them. A non-zero exit code is a normal result.',
  input: z.object({
    workspace_id: workspaceRef,
    command: commandText.describe('Shell command'),
    timeout_secs: timeoutSecs
      .optional()
      .describe('Kills everything the command started; default 120'),
    ...howToRun,
    max_output_bytes: z
      .int()
      .min(1)
      .max(limits.outputBytes.max)
      .optional()
      .describe('Per stream; default 262144'),
    output_file: outputFile.optional(),
    input: z
      .string()
      .max(1024 * 1024)
      .optional()
      .describe('Text for standard input'),
  }),
  output: exitResult.extend({
    stdout: z.string(),
    stderr: z.string(),
    output_file: z.string().optional(),
    note: z.string().optional().describe('Where the output is that is not in this reply'),
  }),
  risk: 'write',
  access: { rate: 'exec' },
  retry: 'unsafe',
  errors: [...guestErrors, 'timeout'],
});

export const processOpen = defineOperation({
  name: 'process_open',
  summary: 'Run a command in a machine with streamed input and output',
  description:
    'Opens a process stream: a new command, or an existing job or terminal to attach to. One of command, argv, login, subsystem and job_id.',
  input: z.object({
    workspace_id: workspaceRef,
    command: commandText.optional().describe('Shell command (/bin/sh -c)'),
    argv: z.array(commandText).min(1).max(4096).optional().describe('Program and arguments'),
    login: z
      .boolean()
      .optional()
      .describe(
        "As sshd would: the account's own shell, in its home, for the command or without one",
      ),
    subsystem: z.enum(['sftp']).optional().describe('A service of the agent on stdin and stdout'),
    job_id: z.int().positive().optional().describe('Attach to this job instead'),
    stdout_offset: z
      .int()
      .min(0)
      .optional()
      .describe('Replay kept output from here when attaching'),
    stderr_offset: z.int().min(0).optional(),
    ...howToRun,
    terminal: terminalSize.optional().describe('Give it a terminal of this size'),
    stdin: z.boolean().optional().describe('Keep standard input open'),
    keep: z.boolean().optional().describe('Let it live on when the client goes away'),
    label: z.string().max(128).optional(),
    timeout_secs: timeoutSecs.optional(),
  }),
  output: z.object({ ticket: z.string() }),
  risk: 'write',
  access: { rate: 'exec' },
  retry: 'unsafe',
  errors: [...guestErrors],
  stream: 'process',
});

export const processStart = defineOperation({
  name: 'process_start',
  summary: 'Start a job in a machine and return at once',
  input: z.object({
    workspace_id: workspaceRef,
    command: commandText.describe('Shell command'),
    ...howToRun,
    label: z.string().max(128).optional().describe('Shown in lists'),
    timeout_secs: timeoutSecs.optional().describe('Kills everything it started'),
    output_file: outputFile.optional(),
  }),
  output: z.object({ job_id: z.int(), pid: z.int() }),
  risk: 'write',
  access: { rate: 'exec' },
  retry: 'unsafe',
  errors: [...guestErrors],
  cli: {
    command: 'jobs start',
    positionals: ['workspace_id'],
    rest: 'command',
    flags: { workdir: '-w, --workdir', env: '-e, --env', user: '-u, --user' },
  },
});

export const processList = defineOperation({
  name: 'process_list',
  summary: 'List the jobs, terminals and commands of a machine',
  input: z.object({ workspace_id: workspaceRef }),
  output: z.array(processInfo),
  risk: 'read',
  retry: 'safe',
  errors: ['not_found', 'wrong_state', 'guest_unreachable'],
  cli: { command: 'jobs list', positionals: ['workspace_id'] },
});

export const processGet = defineOperation({
  name: 'process_get',
  summary: 'Show the state and the kept output of a job',
  input: z.object({
    workspace_id: workspaceRef,
    job_id: z.int().positive(),
    wait_secs: z
      .number()
      .min(0)
      .max(limits.waitSecs.max)
      .optional()
      .describe('Wait this long for its end or for new output'),
    stdout_offset: z.int().min(0).optional().describe('Only output from this byte on'),
    stderr_offset: z.int().min(0).optional(),
  }),
  output: processInfo.extend({ stdout: z.string(), stderr: z.string() }),
  risk: 'read',
  retry: 'safe',
  errors: ['not_found', 'wrong_state', 'guest_unreachable'],
  cli: {
    command: 'jobs show',
    positionals: ['workspace_id', 'job_id'],
    flags: { wait_secs: '--wait' },
  },
});

export const processSignal = defineOperation({
  name: 'process_signal',
  summary: 'Send a signal to a job and everything it started',
  input: z.object({
    workspace_id: workspaceRef,
    job_id: z.int().positive(),
    signal: z.int().min(1).max(64).optional().describe('Signal number; default 15 (TERM)'),
  }),
  output: z.object({ job_id: z.int(), signal: z.int() }),
  risk: 'write',
  retry: 'safe',
  errors: ['not_found', 'wrong_state', 'guest_unreachable'],
  cli: {
    command: 'jobs kill',
    positionals: ['workspace_id', 'job_id'],
    flags: { signal: '-s, --signal' },
  },
});

export const processRemove = defineOperation({
  name: 'process_remove',
  summary: 'Forget a finished job and its output',
  input: z.object({ workspace_id: workspaceRef, job_id: z.int().positive() }),
  output: z.object({ job_id: z.int() }),
  risk: 'destructive',
  retry: 'safe',
  errors: ['not_found', 'wrong_state', 'guest_unreachable'],
  cli: { command: 'jobs remove', positionals: ['workspace_id', 'job_id'] },
});

export const setEnv = defineOperation({
  name: 'set_env',
  summary: 'Set variables for everything that is started in a machine from now on',
  description:
    'Kept in the memory of the machine alone: they last until it stops, and no copy of it has them. Image variables are below them, those of a single command above.',
  input: z.object({
    workspace_id: workspaceRef,
    vars: envVars.describe('Variables by name; all of them are set, or none'),
  }),
  output: z.object({ count: z.int().describe('Variables in this call'), status: z.literal('set') }),
  risk: 'write',
  retry: 'safe',
  errors: ['not_found', 'wrong_state', 'guest_unreachable', 'outcome_unknown', 'limit_exceeded'],
  cli: { command: 'env set', positionals: ['workspace_id'], flags: { vars: '-e, --env' } },
});
