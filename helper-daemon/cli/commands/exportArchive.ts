import fs from 'node:fs';
import path from 'node:path';
import type { CoppiceClient } from '../../client/client.ts';
import { downloadedBytes } from '../../client/transfer.ts';
import { text, type CommandSpec, type Invocation } from '../commandSpec.ts';
import type { CliContext } from '../context.ts';
import { exitCodes } from '../exitCodes.ts';
import { UsageError } from '../failure.ts';
import { writeTo } from '../process/output.ts';
import { explainDaemonError } from '../projection/explainInput.ts';
import { transferProgress, transferSummary } from '../transfer/progress.ts';
import { receiveFile, refuseExisting, requireDirectory } from '../transfer/receiveFile.ts';
import { watched } from '../transfer/upload.ts';
import type { Describe } from './processFlags.ts';

export function exportSpec(describe: Describe): CommandSpec {
  const spec: CommandSpec = {
    words: 'export',
    summary: 'Write a machine or a snapshot with its ancestors to an archive',
    description: 'A running machine is exported as it is at this moment and goes on.',
    positionals: [
      {
        key: 'workspace_id',
        label: 'workspace',
        required: true,
        description: describe('workspace_export', 'workspace_id'),
      },
      {
        key: 'snapshot_name',
        label: 'snapshot',
        required: false,
        description: describe('workspace_export', 'snapshot_name'),
      },
    ],
    flags: [
      {
        key: 'output',
        spelling: '-o, --output <file>',
        kind: 'text',
        description: 'Default <workspace>[-<snapshot>].coppice; "-" is standard output',
      },
      {
        key: 'include_memory',
        spelling: '-m, --memory',
        kind: 'switch',
        description: describe('workspace_export', 'include_memory'),
      },
      {
        key: 'include_image',
        spelling: '--no-image',
        kind: 'switch',
        description: 'Leave the image out: smaller, for hosts that have it',
      },
      {
        key: 'force',
        spelling: '-f, --force',
        kind: 'switch',
        description: 'Replace a file that exists',
      },
    ],
    examples: [
      ['coppice export demo', 'To demo.coppice, with all snapshots.'],
      ['coppice export demo s1 -o /backup/', 'One snapshot, to /backup/demo-s1.coppice.'],
      ['coppice export demo -o - | ssh other coppice import -', 'To another host.'],
    ],
    run: (invocation, context) => runExport(spec, invocation, context),
  };
  return spec;
}

async function runExport(
  spec: CommandSpec,
  invocation: Invocation,
  context: CliContext,
): Promise<number> {
  const output = text(invocation, 'output');
  const replace = invocation.flags['force'] === true;
  if (output === '-') refuseTerminal(context);
  else checkTarget(output, replace);
  const snapshot = text(invocation, 'snapshot_name');
  const input = {
    workspace_id: text(invocation, 'workspace_id'),
    ...(snapshot === '' ? {} : { snapshot_name: snapshot }),
    ...(invocation.flags['include_memory'] === true ? { include_memory: true } : {}),
    ...(invocation.flags['include_image'] === false ? { include_image: false } : {}),
  };
  const client = await context.connect();
  try {
    const { ticket, file_name } = await openExport(client, input, context);
    if (output === '-') return await toStdout(client, ticket, context);
    const to = targetOf(output, file_name);
    if (!replace) refuseExisting(to);
    await toFile(client, ticket, to, replace, context);
    return exitCodes.ok;
  } catch (error) {
    throw await explainDaemonError(error, spec, 'workspace_export', input);
  } finally {
    client.close();
  }
}

async function openExport(
  client: CoppiceClient,
  input: { readonly workspace_id: string },
  context: CliContext,
): Promise<{ readonly ticket: string; readonly file_name: string }> {
  const progress = context.progress('Preparing the archive…');
  try {
    return await client.call('workspace_export', input, {
      signal: context.signal,
      onProgress: ({ message, fraction }) => progress.update(message, fraction),
    });
  } finally {
    progress.stop();
  }
}

/** The file an archive goes to. @param output what -o says: nothing, a directory or a file */
export function targetOf(output: string, fileName: string): string {
  const name = path.basename(fileName);
  if (output === '') return name;
  return isDirectory(output) ? path.join(output, name) : output;
}

/** What can be seen before anything is done. */
function checkTarget(output: string, replace: boolean): void {
  if (output === '' || isDirectory(output)) return;
  requireDirectory(output.endsWith('/') ? output : path.dirname(output));
  if (!replace) refuseExisting(output);
}

function isDirectory(name: string): boolean {
  return fs.statSync(name, { throwIfNoEntry: false })?.isDirectory() === true;
}

function refuseTerminal(context: CliContext): void {
  if (context.json) {
    throw new UsageError(
      'Standard output cannot carry the archive and a JSON value.',
      'Give a file with -o, or leave --json away.',
    );
  }
  if (process.stdout.isTTY) {
    throw new UsageError(
      'An archive is nothing for a terminal.',
      'Give a file with -o, or a pipe.',
    );
  }
}

async function toStdout(
  client: CoppiceClient,
  ticket: string,
  context: CliContext,
): Promise<number> {
  const stream = await client.openStream(ticket);
  context.signal.addEventListener('abort', () => stream.destroy());
  for await (const chunk of watched(downloadedBytes(stream), { signal: context.signal })) {
    await writeTo(process.stdout, chunk);
  }
  return exitCodes.ok;
}

async function toFile(
  client: CoppiceClient,
  ticket: string,
  to: string,
  replace: boolean,
  context: CliContext,
): Promise<void> {
  const started = performance.now();
  const stream = await client.openStream(ticket);
  context.signal.addEventListener('abort', () => stream.destroy());
  const progress = transferProgress(context, to);
  try {
    const bytes = await receiveFile(
      watched(downloadedBytes(stream), { signal: context.signal, onBytes: progress.bytes }),
      // Disks and memory hold what nobody else should read.
      { to, mode: 0o600, replace, durable: true },
    );
    progress.stop();
    const elapsed = performance.now() - started;
    if (context.json) context.printJson({ file: to, bytes, duration_ms: Math.round(elapsed) });
    else context.print(`${to}: ${transferSummary(bytes, elapsed)}`);
  } finally {
    progress.stop();
    stream.destroy();
  }
}
