/** `coppice swarm run`: starts a swarm, shows how far it is, and what it left. */
import { readFile } from 'node:fs/promises';
import type { InputOf, OutputOf } from '../../../protocol/operations.ts';
import { limits } from '../../../protocol/limits.ts';
import { swarmStart } from '../../../protocol/operations/swarm.ts';
import type { CoppiceClient } from '../../client/client.ts';
import { given, text, type CommandSpec, type FlagSpec, type Invocation } from '../commandSpec.ts';
import type { CliContext } from '../context.ts';
import { exitCodes } from '../exitCodes.ts';
import { UsageError } from '../failure.ts';
import { explainDaemonError, usageErrorFor } from '../projection/explainInput.ts';
import { renderSwarmResults, swarmOutcome } from '../render/swarm.ts';
import type { Describe } from './processFlags.ts';

type Task = InputOf<'swarm_start'>['tasks'][number];

/** Flags that are fields of swarm_start. */
const fields: readonly (readonly [key: string, spelling: string, kind: FlagSpec['kind']])[] = [
  ['snapshot_name', '-s, --snapshot', 'text'],
  ['env_vars', '-e, --env <name=value>', 'pairs'],
  ['max_parallel', '-p, --parallel', 'integer'],
  ['timeout_secs', '--timeout', 'duration'],
  ['cleanup', '--cleanup', 'onOff'],
  ['allow_internet', '--internet', 'onOff'],
  ['merge_strategy', '--merge <strategy>', 'text'],
  ['merge_target', '--merge-target <workspace>', 'text'],
  ['merge_path', '--merge-path <path>', 'text'],
];

export function swarmRunSpec(describe: Describe): CommandSpec {
  const spec: CommandSpec = {
    words: 'swarm run',
    summary: 'Run one command in each of many copies of a machine',
    description:
      'The swarm belongs to the daemon: Ctrl-C stops watching it, and coppice swarm results shows what it left.',
    positionals: [
      {
        key: 'golden_workspace',
        label: 'golden-workspace',
        required: true,
        description: describe('swarm_start', 'golden_workspace'),
      },
    ],
    flags: [
      {
        key: 'task',
        spelling: '-t, --task <name=command>',
        kind: 'pairs',
        description: 'A task; may be given more than once',
      },
      {
        key: 'tasks_file',
        spelling: '--tasks <file>',
        kind: 'text',
        description:
          'JSON: a list of tasks {name, command, workdir, env, artifacts}; "-" is standard input',
      },
      {
        key: 'artifacts',
        spelling: '-a, --artifact <path>',
        kind: 'list',
        description: 'Fetch this from the worker of every --task; may be given more than once',
      },
      {
        key: 'shared_context_file',
        spelling: '--context <file>',
        kind: 'text',
        description: 'Text file that every worker gets as /tmp/.shared-context',
      },
      ...fields.map(([key, spelling, kind]) => ({
        key,
        spelling,
        kind,
        description: describe('swarm_start', key),
      })),
      {
        key: 'detach',
        spelling: '-d, --detach',
        kind: 'switch',
        description: 'Return at once',
      },
    ],
    examples: [
      [
        "coppice swarm run golden --task unit='npm test' --task lint='npm run lint'",
        'Two copies of the prepared machine "golden".',
      ],
      [
        'coppice swarm run golden --tasks tasks.json --merge sequential',
        'As in the file; what the workers committed is merged into golden.',
      ],
    ],
    notes: 'Exit code: 0 when all tasks succeeded, 75 when some did, 1 when none did.',
    run: (invocation, context) => run(spec, invocation, context),
  };
  return spec;
}

async function run(
  spec: CommandSpec,
  invocation: Invocation,
  context: CliContext,
): Promise<number> {
  const contextFile = text(invocation, 'shared_context_file');
  const input = {
    golden_workspace: text(invocation, 'golden_workspace'),
    tasks: await tasksOf(invocation),
    ...(contextFile === '' ? {} : { shared_context: await readText(contextFile) }),
    ...given(
      invocation,
      fields.map(([key]) => key),
    ),
  };
  const checked = swarmStart.input.safeParse(input);
  if (!checked.success) throw usageErrorFor(spec, checked.error.issues, input);
  const client = await context.connect();
  try {
    const { swarm_id } = await client.call('swarm_start', input as InputOf<'swarm_start'>);
    if (invocation.flags['detach'] === true) {
      if (context.json) context.printJson({ swarm_id });
      else context.print(`${swarm_id}\n`);
      return exitCodes.ok;
    }
    context.note(swarm_id);
    const results = await waitForEnd(client, swarm_id, context);
    if (context.json) context.printJson(results);
    else context.print(renderSwarmResults(results, { ...context.rendering(), input }));
    const { exitCode, complaint } = swarmOutcome(results);
    if (complaint !== undefined) context.complain(complaint);
    return exitCode;
  } catch (error) {
    throw await explainDaemonError(error, spec, 'swarm_start', input);
  } finally {
    client.close();
  }
}

async function waitForEnd(
  client: CoppiceClient,
  swarm_id: string,
  context: CliContext,
): Promise<OutputOf<'swarm_results'>> {
  const progress = context.progress(swarm_id);
  try {
    for (;;) {
      const results = await client.call(
        'swarm_results',
        { swarm_id, wait_secs: limits.waitSecs.max },
        {
          signal: context.signal,
          onProgress: ({ message, fraction }) => progress.update(message, fraction),
        },
      );
      if (results.ended_at !== null) return results;
    }
  } finally {
    progress.stop();
  }
}

/** Those of the file first. */
async function tasksOf(invocation: Invocation): Promise<unknown[]> {
  const file = text(invocation, 'tasks_file');
  const artifacts = invocation.flags['artifacts'] as readonly string[] | undefined;
  const pairs = (invocation.flags['task'] ?? {}) as Readonly<Record<string, string>>;
  const fromFlags: Task[] = Object.entries(pairs).map(([name, command]) => ({
    name,
    command,
    ...(artifacts === undefined ? {} : { artifacts: [...artifacts] }),
  }));
  const tasks = [...(file === '' ? [] : parseTasks(await readText(file), file)), ...fromFlags];
  if (tasks.length > 0) return tasks;
  throw new UsageError(
    'A swarm needs tasks.',
    'Give --task name=command, or --tasks with a JSON file.',
  );
}

/** A list, or an object with one; what is in it the daemon's schema says. */
function parseTasks(content: string, file: string): unknown[] {
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UsageError(`${file} is not JSON: ${reason}`, 'It should be a list of tasks.');
  }
  const list =
    typeof value === 'object' && value !== null && 'tasks' in value ? value.tasks : value;
  if (Array.isArray(list)) return list as unknown[];
  throw new UsageError(
    `${file} holds no list of tasks.`,
    '[{"name": "unit", "command": "npm test"}]',
  );
}

async function readText(file: string): Promise<string> {
  try {
    if (file === '-') return Buffer.concat(await process.stdin.toArray()).toString('utf8');
    return await readFile(file, 'utf8');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UsageError(`${file} cannot be read: ${reason}`, 'Name a text file.');
  }
}
