/** One command line, or one each, in several machines at once. */
import * as z from 'zod';
import { limits } from '../limits.ts';
import { workspaceRef } from '../names.ts';
import { defineOperation } from '../operation.ts';
import { commandText, exec, howToRun, timeoutSecs } from './process.ts';

const mostMachines = 20;

export const execParallel = defineOperation({
  name: 'exec_parallel',
  summary: 'Run commands in several machines at once and return all of their output',
  description:
    'What goes wrong in one machine is a row of the reply and disturbs no other. Output is cut as with exec, and more where all of it together would not fit into one reply.',
  input: z.object({
    workspace_ids: z
      .array(workspaceRef)
      .min(1)
      .max(mostMachines)
      .describe('Workspace names or ids'),
    commands: z
      .union([commandText, z.array(commandText).min(1).max(mostMachines)])
      .describe('One shell command for all of them, or a list with one for each'),
    timeout_secs: timeoutSecs
      .optional()
      .describe(`For each command; default ${String(limits.parallelTimeoutSecs)}`),
    ...howToRun,
    max_output_bytes: exec.input.shape.max_output_bytes,
  }),
  output: z.object({
    results: z
      .array(
        z.object({
          workspace_id: z.string(),
          workspace_name: z.string(),
          exit_code: z.int().describe('-1: a signal or the time limit ended it, or it did not run'),
          stdout: z.string(),
          stderr: z.string().describe('Of the command, or why it did not run'),
          timed_out: z.boolean(),
          error: z.string().optional().describe('Code of what went wrong beside the command'),
        }),
      )
      .describe('In the order of workspace_ids'),
    summary: z.object({
      total: z.int(),
      succeeded: z.int().describe('Ended with 0'),
      failed: z.int().describe('Neither of the others'),
      timed_out: z.int(),
      elapsed_ms: z.int(),
    }),
  }),
  risk: 'write',
  retry: 'unsafe',
  errors: ['not_found', 'cancelled'],
  progress: true,
  access: {
    owns: ['workspace_ids'],
    rate: 'exec',
    cost: ({ workspace_ids }) => (Array.isArray(workspace_ids) ? workspace_ids.length : 1),
  },
  cli: {
    command: 'exec-all',
    positionals: ['workspace_ids'],
    rest: 'commands',
    flags: {
      workdir: '-w, --workdir',
      env: '-e, --env',
      user: '-u, --user',
      timeout_secs: '--timeout',
    },
  },
});
