import { CoppiceError } from '../../../protocol/errors.ts';
import type { InputOf } from '../../../protocol/operations.ts';
import type { CoppiceClient } from '../../client/client.ts';
import { asCommandInput } from '../argv/shellQuote.ts';
import { given, text, type CommandSpec, type Invocation } from '../commandSpec.ts';
import type { CliContext } from '../context.ts';
import { exitCodeOf, exitCodes } from '../exitCodes.ts';
import { UsageError } from '../failure.ts';
import { explainDaemonError } from '../projection/explainInput.ts';
import { signalNumbers, type EndSignal } from '../signals.ts';
import { localTerminal, terminalEnv, type LocalTerminal } from '../terminal/localTerminal.ts';
import { processFlags, type Describe } from './processFlags.ts';

/** A login shell, the better one where the image has it. */
const defaultShell = 'if [ -x /bin/bash ]; then exec /bin/bash -l; else exec /bin/sh -l; fi';

/** Replayed when attaching: about a screen, enough to see where one was. */
const replayBytes = 8192;

export function shellSpec(describe: Describe): CommandSpec {
  const spec: CommandSpec = {
    words: 'shell',
    summary: 'Open a terminal in a machine',
    description: 'Ctrl-P Ctrl-Q leaves it running; --job comes back to it.',
    positionals: [
      {
        key: 'workspace_id',
        label: 'workspace',
        required: true,
        description: describe('process_open', 'workspace_id'),
      },
    ],
    flags: [
      ...processFlags(describe).filter(({ key }) => key !== 'timeout_secs'),
      {
        key: 'job_id',
        spelling: '--job <id>',
        kind: 'integer',
        description: 'Come back to this terminal',
      },
    ],
    rest: { label: 'command', required: false },
    examples: [
      ['coppice shell demo', 'A login shell.'],
      ['coppice shell demo -- python3', 'Another program in a terminal.'],
      ['coppice shell demo --job 3', 'Back to a terminal that was left with Ctrl-P Ctrl-Q.'],
    ],
    run: (invocation, context) => runShell(spec, invocation, context),
  };
  return spec;
}

async function runShell(
  spec: CommandSpec,
  invocation: Invocation,
  context: CliContext,
): Promise<number> {
  const terminal = needTerminal();
  const machine = text(invocation, 'workspace_id');
  const job = invocation.flags['job_id'];
  if (typeof job === 'number' && invocation.rest.length > 0) {
    throw new UsageError(
      '--job comes back to a running terminal; it takes no command.',
      'Leave one of them away.',
    );
  }
  const client = await context.connect();
  try {
    if (typeof job === 'number') {
      return await attachTerminal(client, machine, job, terminal, context);
    }
    const env = given(invocation, ['env'])['env'] as Record<string, string> | undefined;
    const input: InputOf<'process_open'> = {
      workspace_id: machine,
      ...(invocation.rest.length === 0
        ? { command: defaultShell }
        : asCommandInput(invocation.rest)),
      ...given(invocation, ['workdir', 'user']),
      env: { ...terminalEnv(), ...env },
      terminal: terminal.size(),
      stdin: true,
      keep: true,
      label: 'shell',
    };
    try {
      const { ticket } = await client.call('process_open', input);
      return await useTerminal(client, machine, ticket, terminal, context, undefined);
    } catch (error) {
      throw await explainDaemonError(error, spec, 'process_open', input);
    }
  } finally {
    client.close();
  }
}

function needTerminal(): LocalTerminal {
  if (process.stdin.isTTY && process.stdout.isTTY) return localTerminal();
  throw new UsageError(
    'coppice shell needs a terminal.',
    'In scripts use coppice exec <workspace> -- <command>.',
  );
}

export async function attachTerminal(
  client: CoppiceClient,
  machine: string,
  job: number,
  terminal: LocalTerminal,
  context: CliContext,
): Promise<number> {
  const known = await client.call('process_get', {
    workspace_id: machine,
    job_id: job,
    stdout_offset: Number.MAX_SAFE_INTEGER,
  });
  const { ticket } = await client.call('process_open', {
    workspace_id: machine,
    job_id: job,
    stdout_offset: Math.max(0, known.stdout_bytes - replayBytes),
    stdin: true,
  });
  return await useTerminal(client, machine, ticket, terminal, context, job);
}

async function useTerminal(
  client: CoppiceClient,
  machine: string,
  ticket: string,
  terminal: LocalTerminal,
  context: CliContext,
  attachedTo: number | undefined,
): Promise<number> {
  const { runTerminalSession } = await import('../terminal/session.ts');
  const stream = await client.openStream(ticket);
  let job = attachedTo;
  let detached = false;
  let endedBy: EndSignal | undefined;
  try {
    const exit = await runTerminalSession(stream, terminal, context.signals, {
      redraw: attachedTo !== undefined,
      onStarted: (started) => {
        job = started.job_id;
      },
      onDetach() {
        detached = true;
        stream.destroy();
      },
      onSignal(name) {
        endedBy = name;
        stream.destroy();
      },
    });
    await forget(client, machine, job);
    return exitCodeOf(exit);
  } catch (error) {
    if (detached) {
      process.stderr.write(`\n${comeBack(machine, job)}\n`);
      return exitCodes.ok;
    }
    if (endedBy !== undefined) {
      await hangUp(client, machine, job);
      return exitCodes.signalBase + signalNumbers[endedBy];
    }
    throw job === undefined ? error : withComeBack(error, machine, job);
  }
}

function comeBack(machine: string, job: number | undefined): string {
  return `The terminal goes on. Come back with: coppice shell ${machine} --job ${String(job ?? '?')}`;
}

/** A finished terminal is of no more use; a job list full of them would be a nuisance. */
async function forget(
  client: CoppiceClient,
  machine: string,
  job: number | undefined,
): Promise<void> {
  if (job === undefined) return;
  await client
    .call('process_remove', { workspace_id: machine, job_id: job })
    .catch(() => undefined);
}

/** Our own terminal is gone: the program must learn it as it would without a machine between. */
async function hangUp(
  client: CoppiceClient,
  machine: string,
  job: number | undefined,
): Promise<void> {
  if (job === undefined) return;
  const it = { workspace_id: machine, job_id: job };
  try {
    await client.call('process_signal', { ...it, signal: signalNumbers.SIGHUP });
    await client.call('process_get', {
      ...it,
      stdout_offset: Number.MAX_SAFE_INTEGER,
      wait_secs: 1,
    });
  } catch {
    // It has ended, or the machine is gone.
  }
  await forget(client, machine, job);
}

function withComeBack(error: unknown, machine: string, job: number): unknown {
  if (!(error instanceof CoppiceError) || error.code !== 'outcome_unknown') return error;
  return new CoppiceError(
    {
      code: 'outcome_unknown',
      message: 'The connection to the machine was lost; the terminal in it may still be running.',
      next: `Come back with: coppice shell ${machine} --job ${String(job)}`,
    },
    { cause: error },
  );
}
