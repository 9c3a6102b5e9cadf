import type { InputOf } from '../../../protocol/operations.ts';
import type { ExitResult } from '../../../protocol/operations/process.ts';
import type { ByteStream } from '../../client/byteStream.ts';
import { asCommandInput } from '../argv/shellQuote.ts';
import { given, text, type CommandSpec, type Invocation } from '../commandSpec.ts';
import type { CliContext } from '../context.ts';
import { exitCodeOf, exitCodes } from '../exitCodes.ts';
import { GaveUp } from '../failure.ts';
import { forwardStdin } from '../process/input.ts';
import { captureOutput, pumpOutput, standardOutput } from '../process/output.ts';
import { relaySignals } from '../process/relaySignals.ts';
import { explainDaemonError } from '../projection/explainInput.ts';
import { signalNumbers } from '../signals.ts';
import { localTerminal, terminalEnv } from '../terminal/localTerminal.ts';
import { processFields, processFlags, type Describe } from './processFlags.ts';

export function execSpec(describe: Describe): CommandSpec {
  const spec: CommandSpec = {
    words: 'exec',
    summary: 'Run a command in a machine',
    positionals: [
      {
        key: 'workspace_id',
        label: 'workspace',
        required: true,
        description: describe('process_open', 'workspace_id'),
      },
    ],
    flags: [
      ...processFlags(describe),
      {
        key: 'interactive',
        spelling: '-i, --interactive',
        kind: 'switch',
        description: 'Forward standard input although it is a terminal',
      },
      {
        key: 'tty',
        spelling: '-t, --tty',
        kind: 'switch',
        description: 'Give the command a terminal',
      },
    ],
    rest: { label: 'command', required: true },
    notes: execNotes,
    examples: [
      ['coppice exec demo -- uname -a', 'Several words: a program and its arguments.'],
      ["coppice exec demo -- 'cd /etc && ls | wc -l'", 'One word: a shell command.'],
      [
        'tar c src | coppice exec demo -w /tmp -- tar x',
        'Standard input is forwarded when it is not a terminal.',
      ],
      ['coppice exec -it demo -- htop', 'With a terminal of its own.'],
    ],
    run: (invocation, context) => runExec(spec, invocation, context),
  };
  return spec;
}

export const execNotes = `Exit code: that of the command; 128 + n when signal n ended it; 124 when its time ran out;
125 when Coppice itself failed, 126 or 127 when the program cannot be run or does not exist; 2 when this
command line is wrong.
Ctrl-C and SIGTERM go to the command; a second one gives up on it.`;

async function runExec(
  spec: CommandSpec,
  invocation: Invocation,
  context: CliContext,
): Promise<number> {
  const terminal = invocation.flags['tty'] === true ? localTerminal() : undefined;
  const wantsInput = invocation.flags['interactive'] === true || !process.stdin.isTTY;
  const fields = given(invocation, processFields);
  const input: InputOf<'process_open'> = {
    workspace_id: text(invocation, 'workspace_id'),
    ...asCommandInput(invocation.rest),
    ...fields,
    ...(terminal === undefined
      ? {}
      : {
          terminal: terminal.size(),
          env: { ...terminalEnv(), ...(fields['env'] as Record<string, string> | undefined) },
        }),
    stdin: wantsInput,
  };
  const client = await context.connect();
  try {
    const { ticket } = await client.call('process_open', input);
    const stream = await client.openStream(ticket);
    if (terminal !== undefined && wantsInput) {
      const { runTerminalSession } = await import('../terminal/session.ts');
      return exitCodeOf(await runTerminalSession(stream, terminal, context.signals));
    }
    const exit = await runCommand(stream, wantsInput, context);
    return finish(exit, invocation, context);
  } catch (error) {
    throw await explainDaemonError(error, spec, 'process_open', input);
  } finally {
    client.close();
  }
}

interface CommandOutcome {
  readonly exit: ExitResult;
  readonly captured?: { readonly stdout: string; readonly stderr: string };
}

/** Runs what `stream` stands for, with our own stdin, stdout, stderr and signals. */
export async function runCommand(
  stream: ByteStream,
  wantsInput: boolean,
  context: CliContext,
): Promise<CommandOutcome> {
  const relay = relaySignals(context.signals, stream);
  const capture = context.json ? captureOutput() : undefined;
  try {
    if (wantsInput) void forwardStdin(stream);
    const exit = await pumpOutput(stream, capture?.sink ?? standardOutput);
    return capture === undefined ? { exit } : { exit, captured: capture.text() };
  } catch (error) {
    const name = relay.gaveUp();
    if (name === undefined) throw error;
    throw new GaveUp(exitCodes.signalBase + signalNumbers[name]);
  } finally {
    relay.release();
  }
}

function finish(
  { exit, captured }: CommandOutcome,
  invocation: Invocation,
  context: CliContext,
): number {
  if (captured !== undefined) context.printJson({ ...exit, ...captured });
  noteTimeout(exit, invocation, context);
  return exitCodeOf(exit);
}

export function noteTimeout(exit: ExitResult, invocation: Invocation, context: CliContext): void {
  if (!exit.timed_out) return;
  const limit = invocation.flags['timeout_secs'];
  context.note(
    `coppice: the command ran into its time limit${typeof limit === 'number' ? ` of ${String(limit)} s` : ''} and was killed.`,
  );
}
