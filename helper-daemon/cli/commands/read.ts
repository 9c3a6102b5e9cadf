import { given, text, type CommandSpec, type Invocation } from '../commandSpec.ts';
import type { CliContext } from '../context.ts';
import { downloadedBytes } from '../../client/transfer.ts';
import { exitCodes } from '../exitCodes.ts';
import { writeTo } from '../process/output.ts';
import { textForTerminal } from '../process/terminalGuard.ts';
import { explainDaemonError } from '../projection/explainInput.ts';
import type { Describe } from './processFlags.ts';

export function readSpec(describe: Describe): CommandSpec {
  const spec: CommandSpec = {
    words: 'read',
    summary: 'Print a file of a machine, byte for byte',
    positionals: [
      {
        key: 'workspace_id',
        label: 'workspace',
        required: true,
        description: describe('file_download', 'workspace_id'),
      },
      {
        key: 'path',
        label: 'path',
        required: true,
        description: describe('file_download', 'path'),
      },
    ],
    flags: [
      {
        key: 'offset',
        spelling: '--offset <n>',
        kind: 'integer',
        description: describe('file_read', 'offset'),
      },
      {
        key: 'limit',
        spelling: '--limit <n>',
        kind: 'integer',
        description: describe('file_read', 'limit'),
      },
      {
        key: 'force',
        spelling: '-f, --force',
        kind: 'switch',
        description: 'Send what is not text to a terminal, too',
      },
    ],
    notes:
      'Files of any size; with --json a text file of at most 4 MiB, as {"content", "size", "truncated"}.',
    examples: [
      ['coppice read demo /etc/os-release', 'To the terminal.'],
      ['coppice read demo /var/log/dpkg.log --offset 1000 --limit 500', 'A part of it.'],
    ],
    run: (invocation, context) => runRead(spec, invocation, context),
  };
  return spec;
}

async function runRead(
  spec: CommandSpec,
  invocation: Invocation,
  context: CliContext,
): Promise<number> {
  const input = {
    workspace_id: text(invocation, 'workspace_id'),
    path: text(invocation, 'path'),
    ...given(invocation, ['offset', 'limit']),
  };
  const client = await context.connect();
  try {
    if (context.json) {
      context.printJson(await client.call('file_read', input));
      return exitCodes.ok;
    }
    const { ticket } = await client.call('file_download', input);
    const stream = await client.openStream(ticket);
    const giveUp = (): void => stream.destroy();
    context.signal.addEventListener('abort', giveUp);
    const visible = !process.stdout.isTTY || invocation.flags['force'] === true;
    for await (const chunk of textForTerminal(downloadedBytes(stream), visible)) {
      await writeTo(process.stdout, chunk);
    }
    return exitCodes.ok;
  } catch (error) {
    if (context.signal.aborted) return exitCodes.signalBase + 2;
    throw await explainDaemonError(error, spec, 'file_download', input);
  } finally {
    client.close();
  }
}
