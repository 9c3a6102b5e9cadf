/** `coppice logs -f`: the projection's logs, and then what is added to them. */
import { setTimeout as delay } from 'node:timers/promises';
import type { OutputOf } from '../../../protocol/operations.ts';
import { given, text, type CommandSpec, type Invocation } from '../commandSpec.ts';
import type { CliContext } from '../context.ts';
import { UsageError } from '../failure.ts';
import { printableLines } from '../text/printable.ts';

const pollMs = 500;
const followLines = 10_000;

/** Adds -f to the projected command. */
export function withFollow(projected: CommandSpec): CommandSpec {
  return {
    ...projected,
    flags: [
      ...projected.flags,
      {
        key: 'follow',
        spelling: '-f, --follow',
        kind: 'switch',
        description: 'Go on as more is written',
      },
    ],
    run(invocation, context) {
      const { follow, ...flags } = invocation.flags;
      if (follow !== true) return projected.run({ ...invocation, flags }, context);
      if (context.json) {
        throw new UsageError(
          '--follow has no end and so no JSON value.',
          'Leave one of them away.',
        );
      }
      return followLogs({ ...invocation, flags }, context);
    },
  };
}

async function followLogs(invocation: Invocation, context: CliContext): Promise<number> {
  const machine = text(invocation, 'workspace_id');
  const client = await context.connect();
  let gone = false;
  client.onClose(() => {
    gone = true;
  });
  try {
    const first = await client.call('workspace_logs', {
      workspace_id: machine,
      ...given(invocation, ['log_type', 'max_lines']),
    });
    context.print(printableLines(joined(first)));
    const type = given(invocation, ['log_type']);
    let seen = joined(
      await client.call('workspace_logs', {
        workspace_id: machine,
        ...type,
        max_lines: followLines,
      }),
    );
    while (!context.signal.aborted && !gone) {
      await delay(pollMs, undefined, { signal: context.signal }).catch(() => undefined);
      if (context.signal.aborted) break;
      const now = joined(
        await client.call('workspace_logs', {
          workspace_id: machine,
          ...type,
          max_lines: followLines,
        }),
      );
      process.stdout.write(printableLines(addedText(seen, now)));
      seen = now;
    }
    return 0;
  } finally {
    client.close();
  }
}

function joined(logs: OutputOf<'workspace_logs'>): string {
  return [logs.console, logs.stderr].filter((part) => part !== undefined && part !== '').join('');
}

/**
 * What `now` has after the end of `before`. Both are tails of the same growing log, so the end of the old
 * one is looked for in the new one; when it is nowhere, everything is new.
 */
export function addedText(before: string, now: string): string {
  if (before === '') return now;
  if (now.startsWith(before)) return now.slice(before.length);
  const end = before.slice(-2000);
  const found = now.lastIndexOf(end);
  return found === -1 ? now : now.slice(found + end.length);
}
