/** Setting up fresh copies: the same commands in each of them, all copies at once. */
import { CoppiceError } from '../errors.ts';
import type { OutputOf } from '../operations.ts';
import type { ToolContext } from '../tool.ts';

/** For all commands of one copy together. */
const setupTimeoutSecs = 900;
const shownChars = 2000;

export interface SetupProblem {
  readonly workspaceId: string;
  /** Ends a sentence. */
  readonly text: string;
}

/** @returns what went wrong, of those copies where something did */
export async function runSetup(
  ids: readonly string[],
  commands: readonly string[],
  call: ToolContext['call'],
): Promise<SetupProblem[]> {
  if (commands.length === 0 || ids.length === 0) return [];
  let results: OutputOf<'exec_parallel'>['results'];
  try {
    ({ results } = await patiently(() =>
      call('exec_parallel', {
        workspace_ids: [...ids],
        commands: script(commands),
        timeout_secs: setupTimeoutSecs,
      }),
    ));
  } catch (error) {
    if (!(error instanceof CoppiceError) || error.code === 'cancelled') throw error;
    // The copies are there: whoever asked for them must hear of them.
    const text = `its setup did not run: ${error.message}`;
    return ids.map((workspaceId) => ({ workspaceId, text }));
  }
  return results
    .filter(({ exit_code }) => exit_code !== 0)
    .map((row) => ({ workspaceId: row.workspace_id, text: describe(row) }));
}

/** Each command gets a shell of its own; the first that fails is named and ends it. */
function script(commands: readonly string[]): string {
  return commands
    .map((command, index) => {
      const which = `setup command ${String(index + 1)} of ${String(commands.length)}`;
      return `sh -c ${quoted(command)} || { code=$?; echo "${which} ended with $code" >&2; exit $code; }`;
    })
    .join('\n');
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function describe({
  exit_code,
  stdout,
  stderr,
}: OutputOf<'exec_parallel'>['results'][number]): string {
  const said = `${stdout}${stderr}`.trim();
  return `its setup failed (exit code ${String(exit_code)}): ${said.slice(-shownChars)}`;
}

/** The copies were paid for as copies: their setup may have to wait its turn, but is not refused. */
async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const wait = error instanceof CoppiceError ? error.details?.['retry_after_ms'] : undefined;
      if (!(error instanceof CoppiceError) || error.code !== 'rate_limited') throw error;
      if (typeof wait !== 'number') throw error;
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
}
