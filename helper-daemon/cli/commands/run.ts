import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { CoppiceError } from '../../../protocol/errors.ts';
import type { InputOf } from '../../../protocol/operations.ts';
import type { ExitResult } from '../../../protocol/operations/process.ts';
import type { CoppiceClient } from '../../client/client.ts';
import { asCommandInput } from '../argv/shellQuote.ts';
import { given, type CommandSpec, type Invocation } from '../commandSpec.ts';
import type { CliContext } from '../context.ts';
import { exitCodeOf } from '../exitCodes.ts';
import { explainDaemonError } from '../projection/explainInput.ts';
import type { CopiedOut } from './runFiles.ts';
import { execNotes, noteTimeout, runCommand } from './exec.ts';
import { processFields, processFlags, type Describe } from './processFlags.ts';
import { inDefault, outDefault, parseIn, parseOut, type CopyPair } from './runPlan.ts';

const sizeFields = ['base_image', 'vcpus', 'memory_mb', 'disk_gb'] as const;

export function runSpec(describe: Describe): CommandSpec {
  const about = (field: string): string => describe('workspace_create', field);
  const spec: CommandSpec = {
    words: 'run',
    summary: 'Run a command in a machine that exists only for it',
    description:
      'Files in, command, artefacts out; then the machine is destroyed, also after Ctrl-C or kill -9 of this program.',
    positionals: [],
    flags: [
      {
        key: 'base_image',
        spelling: '-i, --image <image>',
        kind: 'text',
        description: about('base_image'),
      },
      {
        key: 'in',
        spelling: '--in <dir>',
        kind: 'list',
        description: `Copy a directory in: DIR goes to ${inDefault}, HOST:GUEST elsewhere`,
      },
      {
        key: 'out',
        spelling: '--out <dir>',
        kind: 'list',
        description: `Copy artefacts out: ${outDefault} comes to DIR; GUEST:HOST for others`,
      },
      { key: 'vcpus', spelling: '-c, --vcpus <n>', kind: 'integer', description: about('vcpus') },
      {
        key: 'memory_mb',
        spelling: '-m, --memory-mb <n>',
        kind: 'integer',
        description: about('memory_mb'),
      },
      {
        key: 'disk_gb',
        spelling: '-d, --disk-gb <n>',
        kind: 'integer',
        description: about('disk_gb'),
      },
      ...processFlags(describe),
    ],
    rest: { label: 'command', required: true },
    notes: `${execNotes}
Artefacts are copied out whatever the exit code was; a missing ${outDefault} counts as empty.`,
    examples: [
      ['coppice run -- python3 -c "print(6 * 7)"', 'A machine for one command.'],
      [
        "coppice run --in . --out dist -- 'make && cp -r build out'",
        `The current directory to ${inDefault}, ${outDefault} back to ./dist.`,
      ],
    ],
    run: (invocation, context) => runThrowAway(spec, invocation, context),
  };
  return spec;
}

async function runThrowAway(
  spec: CommandSpec,
  invocation: Invocation,
  context: CliContext,
): Promise<number> {
  const copiesIn = listOf(invocation, 'in').map(parseIn);
  const copiesOut = listOf(invocation, 'out').map(parseOut);
  for (const { host } of copiesIn) requireDirectory(host);
  const name = `run-${randomBytes(4).toString('hex')}`;
  const machine: InputOf<'workspace_create'> = {
    name,
    ephemeral: true,
    ...given(invocation, sizeFields),
  };
  const client = await context.connect();
  let created = false;
  try {
    try {
      const progress = context.progress('Booting a machine');
      try {
        await client.call('workspace_create', machine, {
          signal: context.signal,
          onProgress: ({ message, fraction }) => progress.update(message, fraction),
        });
      } finally {
        progress.stop();
      }
    } catch (error) {
      throw await explainDaemonError(error, spec, 'workspace_create', machine);
    }
    created = true;
    return await useMachine(spec, client, name, { copiesIn, copiesOut }, invocation, context);
  } finally {
    if (created) await destroy(client, name, context);
    client.close();
  }
}

async function useMachine(
  spec: CommandSpec,
  client: CoppiceClient,
  machine: string,
  {
    copiesIn,
    copiesOut,
  }: { readonly copiesIn: readonly CopyPair[]; readonly copiesOut: readonly CopyPair[] },
  invocation: Invocation,
  context: CliContext,
): Promise<number> {
  // Only a run with files pays for the code that copies them.
  const files =
    copiesIn.length + copiesOut.length === 0 ? undefined : await import('./runFiles.ts');
  for (const pair of copiesIn) await files?.copyIn(client, machine, pair, context);
  const { exit, captured } = await runIn(spec, client, machine, invocation, context);
  const copied: CopiedOut[] = [];
  for (const pair of copiesOut) {
    const one = await files?.copyOut(client, machine, pair, context);
    if (one !== undefined) copied.push(one);
  }
  if (captured !== undefined) context.printJson({ ...exit, ...captured, copied_out: copied });
  noteTimeout(exit, invocation, context);
  return exitCodeOf(exit);
}

async function runIn(
  spec: CommandSpec,
  client: CoppiceClient,
  machine: string,
  invocation: Invocation,
  context: CliContext,
): Promise<{ exit: ExitResult; captured?: { stdout: string; stderr: string } }> {
  if (context.signal.aborted) {
    throw new CoppiceError({ code: 'cancelled', message: 'The run was cancelled.' });
  }
  const wantsInput = !process.stdin.isTTY;
  const input: InputOf<'process_open'> = {
    workspace_id: machine,
    ...asCommandInput(invocation.rest),
    ...given(invocation, processFields),
    stdin: wantsInput,
  };
  try {
    const { ticket } = await client.call('process_open', input);
    return await runCommand(await client.openStream(ticket), wantsInput, context);
  } catch (error) {
    throw await explainDaemonError(error, spec, 'process_open', input);
  }
}

/** The daemon would do it when we are gone; but then the caller could still see it for a moment. */
async function destroy(client: CoppiceClient, machine: string, context: CliContext): Promise<void> {
  // A signal now must not keep the machine: the connection's end destroys it just as well.
  const release = context.signals.take(() => client.close());
  try {
    await client.call('workspace_destroy', { workspace_id: machine });
  } catch (error) {
    const gone =
      error instanceof CoppiceError && ['not_found', 'outcome_unknown'].includes(error.code);
    if (!gone) {
      context.note(
        `coppice: ${machine} is destroyed when this program ends (${error instanceof Error ? error.message : String(error)})`,
      );
    }
  } finally {
    release();
  }
}

function listOf(invocation: Invocation, key: string): readonly string[] {
  const value = invocation.flags[key];
  return Array.isArray(value) ? (value as readonly string[]) : [];
}

function requireDirectory(host: string): void {
  const stats = fs.statSync(host, { throwIfNoEntry: false });
  if (stats?.isDirectory() === true) return;
  throw new CoppiceError({
    code: 'file_not_found',
    message:
      stats === undefined
        ? `The directory ${host} (--in) does not exist.`
        : `${host} (--in) is not a directory.`,
  });
}
