/** The tool for commands that run on while their caller does something else. */
import * as z from 'zod';
import { CoppiceError } from '../errors.ts';
import type { OutputOf } from '../operations.ts';
import { processGet, processList, processStart } from '../operations/process.ts';
import { defineTool, ToolError, type ToolContext } from '../tool.ts';
import { contractTime, missing } from './text.ts';

const actions = ['start', 'poll', 'kill', 'list'] as const;

const { workspace_id, command, workdir, env, timeout_secs, output_file } = processStart.input.shape;
const { wait_secs, stdout_offset, stderr_offset } = processGet.input.shape;
const job = processList.output.element.shape;
const exitCode = z.int().nullable().describe('null while it runs, and where a signal ended it');

const input = z.object({
  // Text, so that a wrong one is a wrong request, as every missing argument of an action is.
  action: z
    .string()
    .max(64)
    .meta({ enum: [...actions] })
    .describe('start: needs command. poll, kill: need job_id. list: the jobs of the workspace'),
  workspace_id,
  command: command.optional(),
  job_id: processGet.input.shape.job_id.optional().describe('From start'),
  workdir,
  env,
  timeout_secs,
  output_file,
  signal: z.int().min(1).max(64).optional().describe('For kill; default 9'),
  wait_secs: wait_secs.describe(
    'For poll: wait up to this long for the end, or, with an offset, for more output',
  ),
  stdout_offset: stdout_offset.describe('For poll: only output from this byte on'),
  stderr_offset,
});
type Input = z.output<typeof input>;

const output = z.object({
  job_id: z.int().optional(),
  status: z.enum(['started', 'killed']).optional(),
  signal: z.int().optional().describe('That was sent, or that ended it'),
  running: z.boolean().optional(),
  exit_code: exitCode.optional(),
  stdout: z.string().optional(),
  stderr: z.string().optional(),
  stdout_bytes: z.int().optional().describe('So far; the offset to poll on from'),
  stderr_bytes: z.int().optional(),
  timed_out: z.boolean().optional(),
  output_file: job.output_file,
  jobs: z
    .array(
      z.object({
        job_id: job.job_id,
        command: job.command,
        running: job.running,
        exit_code: exitCode,
        started_at: z.string(),
        stdout_bytes: job.stdout_bytes,
        stderr_bytes: job.stderr_bytes,
        output_file: job.output_file,
      }),
    )
    .optional(),
});
type Output = z.input<typeof output>;

export const execBackgroundTool = defineTool({
  name: 'exec_background',
  title: 'Run a command in the background',
  description:
    'Start a command in a workspace and go on: start returns a job_id, poll shows its state and its output so far (as often as you like; wait_secs waits for the end), kill ends it and what it started, list shows all jobs. Results stay for an hour.',
  input,
  output,
  toolset: 'full',
  risk: 'write',
  retry: 'unsafe',
  failure: 'invalid_request',
  async run(given, { call }) {
    switch (given.action) {
      case 'start':
        return await start(given, call);
      case 'poll':
        return await poll(given, call);
      case 'kill':
        return await kill(given, call);
      case 'list':
        return await list(given, call);
      default:
        throw new ToolError('invalid_request', {
          code: 'invalid_input',
          message: `exec_background: there is no action "${given.action}".`,
          next: `Use one of ${actions.join(', ')}.`,
        });
    }
  },
});

type Call = ToolContext['call'];

async function start(given: Input, call: Call): Promise<Output> {
  const { workspace_id: workspace, workdir: directory, env: vars } = given;
  if (given.command === undefined) throw lacking('start', 'command');
  const { job_id } = await call('process_start', {
    workspace_id: workspace,
    command: given.command,
    workdir: directory,
    env: vars,
    timeout_secs: given.timeout_secs,
    output_file: given.output_file,
  });
  return {
    job_id,
    status: 'started',
    ...(given.output_file === undefined ? {} : { output_file: given.output_file }),
  };
}

async function poll(given: Input, call: Call): Promise<Output> {
  const of = jobOf(given, 'poll');
  const from = { stdout_offset: given.stdout_offset, stderr_offset: given.stderr_offset };
  const wait = given.wait_secs ?? 0;
  const isFromStart = from.stdout_offset === undefined && from.stderr_offset === undefined;
  if (wait === 0 || !isFromStart) {
    return polled(await call('process_get', { ...of, ...from, wait_secs: wait }));
  }
  await untilEnd(of, wait, call);
  return polled(await call('process_get', of));
}

/** Output that nobody will write wakes nobody. */
async function untilEnd(of: JobRef, waitSecs: number, call: Call): Promise<void> {
  const never = Number.MAX_SAFE_INTEGER;
  await call('process_get', {
    ...of,
    wait_secs: waitSecs,
    stdout_offset: never,
    stderr_offset: never,
  });
}

function polled(found: OutputOf<'process_get'>): Output {
  const { exit } = found;
  return {
    job_id: found.job_id,
    running: found.running,
    exit_code: exitCodeOf(found),
    stdout: found.stdout,
    stderr: found.stderr,
    stdout_bytes: found.stdout_bytes,
    stderr_bytes: found.stderr_bytes,
    ...(exit === null || exit.signal === null ? {} : { signal: exit.signal }),
    ...(exit?.timed_out === true ? { timed_out: true } : {}),
    ...(found.output_file === undefined ? {} : { output_file: found.output_file }),
  };
}

async function kill(given: Input, call: Call): Promise<Output> {
  const of = jobOf(given, 'kill');
  const signal = given.signal ?? 9;
  try {
    await call('process_signal', { ...of, signal });
  } catch (error) {
    // It has ended already, which is what was wanted.
    const isOver = error instanceof CoppiceError && error.details?.['word'] === 'ended';
    if (!isOver) throw error;
  }
  // A poll that comes right after should see its end.
  await untilEnd(of, 0.5, call);
  return { job_id: of.job_id, signal, status: 'killed' };
}

async function list(given: Input, call: Call): Promise<Output> {
  const all = await call('process_list', { workspace_id: given.workspace_id });
  return {
    jobs: all
      .filter(({ kept, terminal }) => kept && !terminal)
      .map((one) => ({
        ...one,
        exit_code: exitCodeOf(one),
        started_at: contractTime(one.started_at),
      })),
  };
}

function exitCodeOf({ exit }: OutputOf<'process_list'>[number]): number | null {
  return exit === null || exit.signal !== null ? null : exit.exit_code;
}

interface JobRef {
  readonly workspace_id: string;
  readonly job_id: number;
}

function jobOf({ workspace_id: workspace, job_id }: Input, action: string): JobRef {
  if (job_id === undefined) throw lacking(action, 'job_id');
  return { workspace_id: workspace, job_id };
}

function lacking(action: string, field: string): ToolError {
  return new ToolError('invalid_request', missing('exec_background', action, field));
}
