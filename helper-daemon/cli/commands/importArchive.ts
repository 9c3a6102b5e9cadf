import fs from 'node:fs';
import type { ImportResult } from '../../../protocol/operations/archive.ts';
import type { CoppiceClient } from '../../client/client.ts';
import { uploadBytes } from '../../client/transfer.ts';
import { text, type CommandSpec, type Invocation } from '../commandSpec.ts';
import type { CliContext } from '../context.ts';
import { exitCodes } from '../exitCodes.ts';
import { UsageError } from '../failure.ts';
import { explainDaemonError } from '../projection/explainInput.ts';
import { count } from '../text/units.ts';
import { transferProgress, transferSummary } from '../transfer/progress.ts';
import { fileBytes, openToRead, watched } from '../transfer/upload.ts';
import type { Describe } from './processFlags.ts';

export function importSpec(describe: Describe): CommandSpec {
  const spec: CommandSpec = {
    words: 'import',
    summary: 'Make a stopped machine with its snapshots from an archive',
    description:
      'Nothing is made unless the whole archive is sound. The machine gets a new identity.',
    positionals: [
      {
        key: 'file',
        label: 'file',
        required: true,
        description: 'What coppice export wrote; "-" is standard input',
      },
      {
        key: 'name',
        label: 'name',
        required: false,
        description: describe('workspace_import', 'name'),
      },
    ],
    flags: [],
    examples: [
      ['coppice import demo.coppice', 'Under the name it had.'],
      ['coppice import demo.coppice demo-2', 'Under another name.'],
    ],
    run: (invocation, context) => runImport(spec, invocation, context),
  };
  return spec;
}

interface Source {
  readonly chunks: AsyncIterable<Uint8Array>;
  readonly size?: number;
  close(): void;
}

async function runImport(
  spec: CommandSpec,
  invocation: Invocation,
  context: CliContext,
): Promise<number> {
  const file = text(invocation, 'file');
  const name = text(invocation, 'name');
  const input = name === '' ? {} : { name };
  const source = openSource(file);
  try {
    const client = await context.connect();
    try {
      const started = performance.now();
      const result = await send(client, input, source, file, context);
      if (context.json) context.printJson(result);
      else context.print(describeImport(result, performance.now() - started, context));
      return exitCodes.ok;
    } catch (error) {
      throw await explainDaemonError(error, spec, 'workspace_import', input);
    } finally {
      client.close();
    }
  } finally {
    source.close();
  }
}

function openSource(file: string): Source {
  if (file === '-') {
    if (process.stdin.isTTY) {
      throw new UsageError('An archive cannot be typed.', 'Give a file, or send one in by a pipe.');
    }
    return { chunks: process.stdin, close: () => undefined };
  }
  const opened = openToRead(file);
  const close = (): void => fs.closeSync(opened);
  const stats = fs.fstatSync(opened);
  if (!stats.isFile()) {
    close();
    throw new UsageError(
      `${file} is not a file.`,
      'To read what a pipe gives: coppice import - < it',
    );
  }
  return { chunks: fileBytes(opened, stats.size, file), size: stats.size, close };
}

async function send(
  client: CoppiceClient,
  input: { readonly name?: string },
  source: Source,
  file: string,
  context: CliContext,
): Promise<ImportResult> {
  const { ticket } = await client.call('workspace_import', input);
  const stream = await client.openStream(ticket);
  context.signal.addEventListener('abort', () => stream.destroy());
  const progress = transferProgress(context, file === '-' ? 'Importing' : file, source.size);
  try {
    const options = { signal: context.signal, onBytes: progress.bytes };
    // The stream of an import ends with more than that of other uploads.
    return (await uploadBytes(stream, watched(source.chunks, options))) as ImportResult;
  } finally {
    progress.stop();
  }
}

function describeImport(
  { name, snapshots, bytes }: ImportResult,
  elapsedMs: number,
  context: CliContext,
): string {
  const { style } = context.rendering();
  const took = transferSummary(bytes, elapsedMs);
  return [
    `${style.bold(name)} is there, stopped, with ${count(snapshots, 'snapshot')}: ${took}.`,
    style.dim(`coppice start ${name}`),
  ].join('\n');
}
