/** `coppice snapshot show`: a snapshot, a directory or a file in it. */
import type { OutputOf } from '../../../protocol/operations.ts';
import { CoppiceError } from '../../../protocol/errors.ts';
import { limits } from '../../../protocol/limits.ts';
import type { CoppiceClient } from '../../client/client.ts';
import { downloadedBytes } from '../../client/transfer.ts';
import { text, type CommandSpec, type Invocation } from '../commandSpec.ts';
import type { CliContext } from '../context.ts';
import { exitCodes } from '../exitCodes.ts';
import { writeTo } from '../process/output.ts';
import { textForTerminal } from '../process/terminalGuard.ts';
import { explainDaemonError } from '../projection/explainInput.ts';
import { renderList } from '../render/file.ts';
import { renderInfo } from '../render/snapshot.ts';
import type { Describe } from './processFlags.ts';

export function snapshotShowSpec(describe: Describe): CommandSpec {
  const spec: CommandSpec = {
    words: 'snapshot show',
    aliases: ['snapshot info'],
    summary: 'Show a snapshot, or a file or directory as it was then',
    positionals: [
      {
        key: 'workspace_id',
        label: 'workspace',
        required: true,
        description: describe('snapshot_info', 'workspace_id'),
      },
      {
        key: 'name',
        label: 'snapshot',
        required: true,
        description: describe('snapshot_info', 'name'),
      },
      {
        key: 'path',
        label: 'path',
        required: false,
        description: describe('snapshot_file_list', 'path'),
      },
    ],
    flags: [
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
      ['coppice snapshot show demo s1', 'When it was made, what it takes.'],
      ['coppice snapshot show demo s1 /etc', 'A directory as it was.'],
      ['coppice snapshot show demo s1 /etc/hosts > hosts', 'A file as it was.'],
    ],
    run: (invocation, context) => runShow(spec, invocation, context),
  };
  return spec;
}

async function runShow(
  spec: CommandSpec,
  invocation: Invocation,
  context: CliContext,
): Promise<number> {
  const input = { workspace_id: text(invocation, 'workspace_id'), name: text(invocation, 'name') };
  const path = text(invocation, 'path');
  const client = await context.connect();
  try {
    if (path === '') {
      const info = await client.call('snapshot_info', input);
      if (context.json) context.printJson(info);
      else {
        const tree = await client.call('snapshot_list', { workspace_id: input.workspace_id });
        context.print(renderInfo(info, { ...context.rendering(), input, tree }));
      }
    } else {
      await showPath(client, { ...input, path }, invocation.flags['force'] === true, context);
    }
    return exitCodes.ok;
  } catch (error) {
    if (context.signal.aborted) return exitCodes.signalBase + 2;
    const operation = path === '' ? 'snapshot_info' : 'snapshot_file_download';
    throw await explainDaemonError(
      error,
      spec,
      operation,
      path === '' ? input : { ...input, path },
    );
  } finally {
    client.close();
  }
}

interface AtSnapshot extends Readonly<Record<string, unknown>> {
  readonly workspace_id: string;
  readonly name: string;
  readonly path: string;
}

async function showPath(
  client: CoppiceClient,
  input: AtSnapshot,
  force: boolean,
  context: CliContext,
): Promise<void> {
  const progress = context.progress('Opening the snapshot…');
  const options = { signal: context.signal };
  let download: OutputOf<'snapshot_file_download'>;
  try {
    download = await client.call('snapshot_file_download', input, options);
  } catch (error) {
    const entries = await listing(client, input, error, context);
    progress.stop();
    if (context.json) context.printJson(entries);
    else context.print(renderList(entries, { ...context.rendering(), input }));
    return;
  } finally {
    progress.stop();
  }
  const stream = await client.openStream(download.ticket);
  context.signal.addEventListener('abort', () => stream.destroy());
  if (context.json) {
    context.printJson(await beginning(downloadedBytes(stream), download.size));
    stream.destroy();
    return;
  }
  const visible = !process.stdout.isTTY || force;
  for await (const chunk of textForTerminal(downloadedBytes(stream), visible)) {
    await writeTo(process.stdout, chunk);
  }
}

/** What cannot be streamed may be a directory; if it is none either, the first error stands. */
async function listing(
  client: CoppiceClient,
  input: AtSnapshot,
  error: unknown,
  { signal }: CliContext,
): Promise<OutputOf<'snapshot_file_list'>> {
  if (!(error instanceof CoppiceError) || error.code !== 'file_error') throw error;
  try {
    return await client.call('snapshot_file_list', input, { signal });
  } catch (second) {
    throw second instanceof CoppiceError && second.code === 'file_error' ? error : second;
  }
}

async function beginning(
  chunks: AsyncIterable<Uint8Array>,
  size: number,
): Promise<{ content: string; size: number; truncated: boolean }> {
  const kept: Uint8Array[] = [];
  let total = 0;
  for await (const chunk of chunks) {
    kept.push(chunk);
    total += chunk.length;
    if (total > limits.textFileBytes) break;
  }
  const content = Buffer.concat(kept).subarray(0, limits.textFileBytes).toString('utf8');
  return { content, size, truncated: total > limits.textFileBytes };
}
