/** Tools that prepare machines and run swarms of them. */
import * as z from 'zod';
import { CoppiceError, type ErrorCode } from '../errors.ts';
import { workspacePrepare } from '../operations/prepare.ts';
import { swarmResults, swarmStart } from '../operations/swarm.ts';
import { limits } from '../limits.ts';
import { defineTool, ToolError, type ToolContext } from '../tool.ts';

/** What the caller can put right by asking for something else. */
const refusals: ReadonlySet<ErrorCode> = new Set([
  'busy',
  'quota_exceeded',
  'rate_limited',
  'not_owned',
  'not_found',
  'wrong_state',
]);

export const workspacePrepareTool = defineTool({
  name: 'workspace_prepare',
  title: 'Prepare a golden workspace',
  description:
    'Set a workspace up once (clone a repository, install what it needs) and keep it as the snapshot "golden", to fork workers from with workspace_fork or swarm_run. The same call again returns at once; other inputs prepare it again. It goes on when the call times out: call again with the same arguments to wait for it. Internet is on.',
  input: workspacePrepare.input,
  output: workspacePrepare.output,
  toolset: 'full',
  risk: 'write',
  retry: 'safe',
  openWorld: true,
  failure: 'internal_error',
  async run(input, { call }) {
    try {
      return await call('workspace_prepare', input);
    } catch (error) {
      if (error instanceof CoppiceError && refusals.has(error.code)) {
        throw new ToolError('invalid_request', error.toBody());
      }
      throw error;
    }
  },
});

/** A swarm that is resumed needs nothing else. */
const input = swarmStart.input
  .extend({
    golden_workspace: swarmStart.input.shape.golden_workspace.optional(),
    tasks: swarmStart.input.shape.tasks.optional(),
  })
  .extend({
    swarm_id: swarmResults.input.shape.swarm_id.describe(
      'Wait for this swarm again instead of starting one',
    ),
    wait: z
      .boolean()
      .optional()
      .describe('Wait for the end; default true. false returns what there is now'),
  });

export const swarmRunTool = defineTool({
  name: 'swarm_run',
  title: 'Run a swarm',
  description:
    'Fork a worker for each task from a golden snapshot, run all commands side by side, and return their output; optionally merge what the workers committed. Needs golden_workspace and tasks. The swarm runs in the daemon: when this call times out, call again with its swarm_id (or the same idempotency_key) to get the results. wait=false returns its swarm_id at once.',
  input,
  output: swarmResults.output,
  toolset: 'full',
  risk: 'write',
  retry: 'unsafe',
  failure: 'invalid_request',
  async run({ swarm_id, wait, golden_workspace, tasks, ...rest }, context) {
    const id =
      swarm_id ??
      (await startSwarm(context, {
        ...rest,
        golden_workspace: required(golden_workspace, 'golden_workspace'),
        tasks: required(tasks, 'tasks'),
      }));
    for (;;) {
      const results = await context.call('swarm_results', {
        swarm_id: id,
        ...(wait === false ? {} : { wait_secs: limits.waitSecs.max }),
      });
      if (results.error !== null) {
        const { code, message, next } = results.error;
        throw new ToolError('internal_error', {
          code,
          message,
          ...(next === undefined ? {} : { next }),
          details: { swarm_id: id },
        });
      }
      if (wait === false || results.ended_at !== null) return results;
    }
  },
});

type StartInput = z.input<typeof swarmStart.input>;

async function startSwarm({ call }: ToolContext, start: StartInput): Promise<string> {
  return (await call('swarm_start', start)).swarm_id;
}

function required<T>(value: T | undefined, name: string): T {
  if (value !== undefined) return value;
  throw new ToolError('invalid_params', {
    code: 'invalid_input',
    message: `swarm_run: ${name} is missing.`,
    next: 'Give golden_workspace and tasks, or the swarm_id of a swarm to wait for.',
  });
}
