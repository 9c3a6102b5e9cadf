/** Tools that run commands. */
import * as z from 'zod';
import type { OutputOf } from '../operations.ts';
import { limits } from '../limits.ts';
import { execParallel } from '../operations/execParallel.ts';
import { exec, setEnv } from '../operations/process.ts';
import { defineTool, ToolError } from '../tool.ts';

const { workspace_id, command, timeout_secs, workdir, env, max_output_bytes, output_file } =
  exec.input.shape;
const ended = exec.output.shape;

export const execTool = defineTool({
  name: 'exec',
  title: 'Run a command',
  description:
    'Run a shell command in a workspace as root and return its exit code and output. For what takes longer than timeout_secs use exec_background.',
  input: z.object({
    workspace_id,
    command,
    timeout_secs,
    workdir,
    env,
    max_output_bytes,
    output_file,
  }),
  output: z.object({
    exit_code: ended.exit_code,
    stdout: ended.stdout,
    stderr: ended.stderr,
    signal: z.int().optional().describe('Signal that ended it'),
    stdout_bytes: ended.stdout_bytes.optional().describe('Where the reply has not all of it'),
    stderr_bytes: ended.stderr_bytes.optional(),
    output_file: ended.output_file,
    output_file_problem: ended.output_file_problem,
    note: ended.note,
  }),
  toolset: 'core',
  risk: 'write',
  retry: 'unsafe',
  failure: 'invalid_request',
  async run(input, { call }) {
    const { signal, stdout_bytes, stderr_bytes, ...result } = await call('exec', input);
    if (result.timed_out) throw timedOut(input, result);
    return {
      ...result,
      ...(signal === null ? {} : { signal }),
      ...(result.note === undefined ? {} : { stdout_bytes, stderr_bytes }),
    };
  },
});

/** Of what it had written both ends are kept; the last lines are worth reading at once. */
function timedOut(
  input: { readonly workspace_id: string; readonly timeout_secs?: number | undefined },
  {
    stdout,
    stderr,
    note,
    output_file,
  }: Pick<OutputOf<'exec'>, 'stdout' | 'stderr' | 'note' | 'output_file'>,
): ToolError {
  const seconds = String(input.timeout_secs ?? limits.timeoutSecs.default);
  const shown = [lastLines('stdout', stdout), lastLines('stderr', stderr)].join('');
  return new ToolError('invalid_request', {
    code: 'timeout',
    message: `Command timed out after ${seconds} seconds in workspace ${input.workspace_id}; everything it had started was ended.${shown}`,
    next: 'Start it with exec_background(action="start") and poll it, or give a larger timeout_secs.',
    details: {
      timeout_secs: Number(seconds),
      stdout,
      stderr,
      ...(note === undefined ? {} : { note }),
      ...(output_file === undefined ? {} : { output_file }),
    },
  });
}

function lastLines(name: string, text: string): string {
  const most = 2000;
  if (text === '') return '';
  const cut = text.length > most ? `…${text.slice(-most)}` : text;
  return `\nIts ${name} until then:\n${cut.trimEnd()}`;
}

export const setEnvTool = defineTool({
  name: 'set_env',
  title: 'Set environment variables',
  description:
    'Set variables for everything that is started in a workspace from now on. Held in its memory only: gone when it stops, and not in forks.',
  input: setEnv.input,
  output: setEnv.output,
  toolset: 'full',
  risk: 'write',
  retry: 'safe',
  failure: 'invalid_request',
  run: (input, { call }) => call('set_env', input),
});

const parallel = execParallel.input.shape;

export const execParallelTool = defineTool({
  name: 'exec_parallel',
  title: 'Run commands in several workspaces',
  description:
    'Run one command in several workspaces at once, or one each, and return all of their output. What fails in one is a row of the reply.',
  input: z.object({
    workspace_ids: parallel.workspace_ids,
    commands: parallel.commands,
    timeout_secs: parallel.timeout_secs,
    workdir: parallel.workdir,
    env: parallel.env,
    max_output_bytes: parallel.max_output_bytes,
  }),
  output: execParallel.output,
  toolset: 'full',
  risk: 'write',
  retry: 'unsafe',
  failure: 'invalid_request',
  run: (input, { call }) => call('exec_parallel', input),
});
