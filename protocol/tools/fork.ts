/** The tool that copies a workspace. */
import * as z from 'zod';
import { CoppiceError, type ErrorCode } from '../errors.ts';
import type { OutputOf } from '../operations.ts';
import { commandText } from '../operations/process.ts';
import { workspaceFork } from '../operations/snapshot.ts';
import { workspaceSummary } from '../operations/workspaceModel.ts';
import { defineTool, type ToolContext } from '../tool.ts';
import { runSetup, type SetupProblem } from './forkSetup.ts';

const mostCopies = 20;
const mostSetupCommands = 100;

const { workspace_id, snapshot_name, new_name, name_prefix } = workspaceFork.input.shape;
const summary = workspaceSummary.shape;

const input = z.object({
  workspace_id,
  snapshot_name: snapshot_name.describe(
    'Snapshot to copy; without it the workspace is copied as it is now, with its running programs',
  ),
  new_name: new_name.describe('Name of a single copy'),
  count: z
    .int()
    .min(0)
    .max(mostCopies)
    .optional()
    .describe('0 or 1: a single copy (default); more: a batch'),
  name_prefix: name_prefix.describe('Copies of a batch are <prefix>-1, -2, …; default worker'),
  setup_commands: z
    .array(commandText)
    .max(mostSetupCommands)
    .optional()
    .describe('Shell commands to run in every copy, in this order, until one fails'),
});
type Input = z.output<typeof input>;

const output = z.object({
  workspace_id: summary.workspace_id.optional(),
  name: summary.name.optional(),
  state: summary.state.optional(),
  ip: summary.ip.optional(),
  forked_from: z
    .object({
      source_workspace_id: z.uuid(),
      source_workspace_name: z.string(),
      snapshot_name: z.string(),
      live: z.boolean().describe('Continued running programs instead of booting'),
    })
    .optional(),
  source_workspace_id: z.string().optional().describe('As given'),
  snapshot_name: z.string().optional(),
  requested_count: z.int().optional(),
  success_count: z.int().optional(),
  failure_count: z.int().optional(),
  workers: z
    .array(z.object({ workspace_id: summary.workspace_id, name: summary.name, ip: summary.ip }))
    .optional(),
  failures: z
    .array(
      z.object({
        index: z.int(),
        name: z.string(),
        error: z.string(),
        workspace_id: z.string().optional().describe('It exists, but its setup failed'),
      }),
    )
    .optional(),
});
type Output = z.input<typeof output>;

export const workspaceForkTool = defineTool({
  name: 'workspace_fork',
  title: 'Fork a workspace',
  description:
    'Make independent running copies of a workspace: one (new_name), or a batch (count, name_prefix) of which those that fail are listed. Destroy copies you no longer need.',
  input,
  output,
  toolset: 'core',
  risk: 'write',
  retry: 'unsafe',
  failure: 'internal_error',
  failureOf: (given) => (isBatch(given) ? 'invalid_request' : 'internal_error'),
  run: (given, { call }) => (isBatch(given) ? forkBatch(given, call) : forkOne(given, call)),
});

type Call = ToolContext['call'];

function isBatch({ count = 1 }: Pick<Input, 'count'>): boolean {
  return count > 1;
}

async function forkOne(given: Input, call: Call): Promise<Output> {
  const made = await call('workspace_fork', {
    workspace_id: given.workspace_id,
    snapshot_name: given.snapshot_name,
    new_name: given.new_name,
  });
  const [copy] = made.workers;
  const [failure] = made.failures;
  if (copy === undefined) throw notForked(given, failure);
  const [problem] = await runSetup([copy.workspace_id], given.setup_commands ?? [], call);
  if (problem !== undefined) throw notSetUp(copy, problem);
  return {
    workspace_id: copy.workspace_id,
    name: copy.name,
    state: copy.state,
    ip: copy.ip,
    forked_from: {
      source_workspace_id: made.source_workspace_id,
      source_workspace_name: made.source_workspace_name,
      snapshot_name: made.snapshot_name,
      live: made.live,
    },
  };
}

async function forkBatch(given: Input, call: Call): Promise<Output> {
  const made = await call('workspace_fork', {
    workspace_id: given.workspace_id,
    snapshot_name: given.snapshot_name,
    count: given.count,
    name_prefix: given.name_prefix ?? 'worker',
  });
  const ids = made.workers.map(({ workspace_id: id }) => id);
  const problems = await runSetup(ids, given.setup_commands ?? [], call);
  const problemOf = new Map(problems.map((problem) => [problem.workspaceId, problem]));
  const unready = made.workers.flatMap(({ index, name, workspace_id: id }) => {
    const problem = problemOf.get(id);
    return problem === undefined ? [] : [{ index, name, workspace_id: id, error: problem.text }];
  });
  const workers = made.workers.filter(({ workspace_id: id }) => !problemOf.has(id));
  const failures = [...made.failures, ...unready].sort((a, b) => a.index - b.index);
  return {
    source_workspace_id: given.workspace_id,
    snapshot_name: made.snapshot_name,
    requested_count: made.requested_count,
    success_count: workers.length,
    failure_count: failures.length,
    workers,
    failures,
  };
}

function notForked(
  given: Input,
  failure: OutputOf<'workspace_fork'>['failures'][number] | undefined,
): CoppiceError {
  return new CoppiceError({
    code: (failure?.code ?? 'internal') as ErrorCode,
    message: `Failed to fork workspace ${given.workspace_id}: ${failure?.error ?? 'no copy was made.'}`,
    next: 'Nothing of the copy is left; correct what it complains about and call again.',
  });
}

/** The copy may hold what says why, so it stays. */
function notSetUp(
  copy: { readonly workspace_id: string; readonly name: string },
  problem: SetupProblem,
): CoppiceError {
  return new CoppiceError({
    code: 'command_failed',
    message: `Workspace ${copy.name} was made, but ${problem.text}`,
    next: `Look into ${copy.name} and finish its setup with exec, or remove it with workspace_destroy.`,
    details: { workspace_id: copy.workspace_id, name: copy.name },
  });
}
