import { asCoppiceError, CoppiceError } from '../../../protocol/errors.ts';
import { limits } from '../../../protocol/limits.ts';
import type { OutputOf, ParsedInputOf } from '../../../protocol/operations.ts';
import { resolveWorkspace } from '../../workspaces/resolve.ts';
import type { WorkspaceServices } from '../../workspaces/services.ts';
import type { CallContext, Handlers } from '../handlerTypes.ts';
import { execInGuest } from './execCall.ts';

type Input = ParsedInputOf<'exec_parallel'>;
type Output = OutputOf<'exec_parallel'>;
type Row = Output['results'][number];

/** Bytes of output of all machines together in one reply. */
const replyBytes = 8 * 1024 * 1024;

export function execParallelHandlers(services: WorkspaceServices): Pick<Handlers, 'exec_parallel'> {
  return {
    exec_parallel: (input, context) => execEverywhere(services, input, context),
  };
}

async function execEverywhere(
  services: WorkspaceServices,
  input: Input,
  { signal, progress }: CallContext,
): Promise<Output> {
  const started = performance.now();
  const machines = input.workspace_ids.map((reference) =>
    resolveWorkspace(services.store, reference),
  );
  const commands = commandsOf(input);
  const timeout = input.timeout_secs ?? limits.parallelTimeoutSecs;
  const cap = Math.min(
    input.max_output_bytes ?? limits.outputBytes.default,
    Math.floor(replyBytes / 2 / machines.length),
  );
  let finished = 0;
  const results = await Promise.all(
    machines.map(async ({ id, name }, index): Promise<Row> => {
      const of = { workspace_id: id, workspace_name: name };
      const row = await execInGuest(
        services,
        {
          workspace_id: id,
          command: commands[index] ?? '',
          workdir: input.workdir,
          env: input.env,
          user: input.user,
          timeout_secs: timeout,
          max_output_bytes: cap,
        },
        signal,
      ).then(
        ({ exit_code, stdout, stderr, timed_out }): Row => ({
          ...of,
          exit_code,
          stdout,
          stderr: timed_out ? withLine(stderr, timeoutText(timeout)) : stderr,
          timed_out,
          ...(timed_out ? { error: 'timeout' } : {}),
        }),
        (error: unknown): Row => {
          const { code, message } = asCoppiceError(error);
          return {
            ...of,
            exit_code: -1,
            stdout: '',
            stderr: message,
            timed_out: false,
            error: code,
          };
        },
      );
      finished += 1;
      progress(
        `${String(finished)} of ${String(machines.length)} done`,
        finished / machines.length,
      );
      return row;
    }),
  );
  // Whoever cancelled does not read rows.
  if (signal.aborted) {
    throw new CoppiceError({
      code: 'cancelled',
      message: 'The call was cancelled; what still ran was ended.',
    });
  }
  const timedOut = results.filter(({ timed_out }) => timed_out).length;
  const succeeded = results.filter(({ exit_code }) => exit_code === 0).length;
  return {
    results,
    summary: {
      total: results.length,
      succeeded,
      failed: results.length - succeeded - timedOut,
      timed_out: timedOut,
      elapsed_ms: Math.round(performance.now() - started),
    },
  };
}

function commandsOf({ commands, workspace_ids }: Input): readonly string[] {
  if (typeof commands === 'string') return workspace_ids.map(() => commands);
  if (commands.length === workspace_ids.length) return commands;
  throw new CoppiceError({
    code: 'invalid_input',
    message: `commands has ${String(commands.length)} entries for ${String(workspace_ids.length)} workspaces.`,
    next: 'Give one command as a string for all of them, or a list with exactly one for each.',
  });
}

function timeoutText(seconds: number): string {
  return `Command timed out after ${String(seconds)} seconds; everything it had started was ended.`;
}

function withLine(text: string, line: string): string {
  return text === '' || text.endsWith('\n') ? `${text}${line}` : `${text}\n${line}`;
}
