import { text, type CommandSpec, type Invocation } from '../commandSpec.ts';
import type { CliContext } from '../context.ts';
import { exitCodeOf, exitCodes } from '../exitCodes.ts';
import { UsageError } from '../failure.ts';
import { captureOutput, pumpOutput, standardOutput } from '../process/output.ts';
import { parseNumber } from '../program.ts';
import { signalNumbers, type EndSignal } from '../signals.ts';
import { localTerminal } from '../terminal/localTerminal.ts';
import type { Describe } from './processFlags.ts';

export function jobsAttachSpec(describe: Describe): CommandSpec {
  return {
    words: 'jobs attach',
    summary: 'Follow the output of a job to its end',
    description:
      'Prints what is kept of its output and then what comes. Ctrl-C stops watching; the job goes on.',
    positionals: [
      {
        key: 'workspace_id',
        label: 'workspace',
        required: true,
        description: describe('process_open', 'workspace_id'),
      },
      {
        key: 'job_id',
        label: 'job',
        required: true,
        description: describe('process_open', 'job_id'),
      },
    ],
    flags: [
      {
        key: 'new_only',
        spelling: '--new',
        kind: 'switch',
        description: 'Only output from now on',
      },
    ],
    notes: 'Exit code: that of the job, as with coppice exec.',
    run: attach,
  };
}

async function attach(invocation: Invocation, context: CliContext): Promise<number> {
  const machine = text(invocation, 'workspace_id');
  const job = parseNumber('<job>', text(invocation, 'job_id'), true);
  if (job < 1) {
    throw new UsageError(
      '<job> must be at least 1.',
      'coppice jobs list shows the jobs of a machine.',
    );
  }
  const client = await context.connect();
  let leftBy: EndSignal | undefined;
  try {
    const known = await client.call('process_get', {
      workspace_id: machine,
      job_id: job,
      stdout_offset: Number.MAX_SAFE_INTEGER,
      stderr_offset: Number.MAX_SAFE_INTEGER,
    });
    const usable = known.running && process.stdin.isTTY && process.stdout.isTTY;
    if (known.terminal && usable && !context.json) {
      const { attachTerminal } = await import('./shell.ts');
      return await attachTerminal(client, machine, job, localTerminal(), context);
    }
    const onlyNew = invocation.flags['new_only'] === true;
    const { ticket } = await client.call('process_open', {
      workspace_id: machine,
      job_id: job,
      stdout_offset: onlyNew ? known.stdout_bytes : 0,
      stderr_offset: onlyNew ? known.stderr_bytes : 0,
    });
    const stream = await client.openStream(ticket);
    const release = context.signals.take((name) => {
      leftBy = name;
      stream.destroy();
    });
    try {
      const capture = context.json ? captureOutput() : undefined;
      const exit = await pumpOutput(stream, capture?.sink ?? standardOutput);
      if (capture !== undefined) context.printJson({ ...exit, ...capture.text() });
      return exitCodeOf(exit);
    } finally {
      release();
    }
  } catch (error) {
    if (leftBy === undefined) throw error;
    context.note(
      `\nThe job goes on. Watch it again with: coppice jobs attach ${machine} ${String(job)}`,
    );
    return leftBy === 'SIGINT' ? exitCodes.ok : exitCodes.signalBase + signalNumbers[leftBy];
  } finally {
    client.close();
  }
}
