import { uploadBytes } from '../../client/transfer.ts';
import { given, text, type CommandSpec, type Invocation } from '../commandSpec.ts';
import type { CliContext } from '../context.ts';
import { exitCodes } from '../exitCodes.ts';
import { explainDaemonError } from '../projection/explainInput.ts';
import { formatBytes } from '../text/units.ts';
import { printable } from '../text/printable.ts';
import { watched } from '../transfer/upload.ts';
import type { Describe } from './processFlags.ts';

export function writeSpec(describe: Describe): CommandSpec {
  const spec: CommandSpec = {
    words: 'write',
    summary: 'Write standard input to a file of a machine',
    description: 'The file appears whole or not at all; missing parent directories are made.',
    positionals: [
      {
        key: 'workspace_id',
        label: 'workspace',
        required: true,
        description: describe('file_upload', 'workspace_id'),
      },
      { key: 'path', label: 'path', required: true, description: describe('file_upload', 'path') },
    ],
    flags: [
      {
        key: 'mode',
        spelling: '--mode <octal>',
        kind: 'text',
        description: describe('file_write', 'mode'),
      },
      {
        key: 'append',
        spelling: '-a, --append',
        kind: 'switch',
        description: 'Add to the end of the file',
      },
      {
        key: 'exclusive',
        spelling: '--exclusive',
        kind: 'switch',
        description: describe('file_upload', 'exclusive'),
      },
    ],
    examples: [
      ['echo hello | coppice write demo /workspace/hello.txt', 'What comes in through a pipe.'],
      ['coppice write demo /usr/local/bin/tool --mode 755 < tool', 'An executable file.'],
    ],
    run: (invocation, context) => runWrite(spec, invocation, context),
  };
  return spec;
}

async function runWrite(
  spec: CommandSpec,
  invocation: Invocation,
  context: CliContext,
): Promise<number> {
  const input = {
    workspace_id: text(invocation, 'workspace_id'),
    path: text(invocation, 'path'),
    ...given(invocation, ['mode', 'append', 'exclusive']),
  };
  const client = await context.connect();
  try {
    const { ticket } = await client.call('file_upload', input);
    const stream = await client.openStream(ticket);
    context.signal.addEventListener('abort', () => stream.destroy());
    if (process.stdin.isTTY) context.note('Reading from the terminal; Ctrl-D ends the file.');
    const { bytes } = await uploadBytes(stream, watched(process.stdin, { signal: context.signal }));
    if (context.json) context.printJson({ path: input.path, bytes });
    else context.note(`${printable(input.path)}: ${formatBytes(bytes)} written.`);
    return exitCodes.ok;
  } catch (error) {
    if (context.signal.aborted) return exitCodes.signalBase + 2;
    throw await explainDaemonError(error, spec, 'file_upload', input);
  } finally {
    client.close();
  }
}
