/** One command in a guest, from a caller's input to what it wrote. */
import { limits } from '../../../protocol/limits.ts';
import type { OutputOf, ParsedInputOf } from '../../../protocol/operations.ts';
import type { WorkspaceServices } from '../../workspaces/services.ts';
import { exitResult } from './exitResult.ts';
import { callGuest, pathBytes } from './guestCall.ts';
import { captureText, isWhole } from './outputText.ts';

type Exec = OutputOf<'exec'>;

export interface HowToRun {
  readonly workdir?: string | undefined;
  readonly env?: Record<string, string> | undefined;
  readonly user?: string | undefined;
  readonly timeout_secs?: number | undefined;
  readonly output_file?: string | undefined;
}

/** The fields of the guest's ProcessSpec that every way to start something has. */
export function howToRun(input: HowToRun): {
  cwd: string;
  env: Record<string, string>;
  user: string;
  timeoutMs: bigint;
  outputFile: Uint8Array;
} {
  return {
    cwd: input.workdir ?? '',
    env: input.env ?? {},
    user: input.user ?? '',
    timeoutMs: BigInt(Math.ceil((input.timeout_secs ?? 0) * 1000)),
    outputFile: pathBytes(input.output_file ?? ''),
  };
}

/** Runs it to its end. @throws CoppiceError as callGuest, `not_started`, `outcome_unknown` */
export async function execInGuest(
  services: WorkspaceServices,
  input: ParsedInputOf<'exec'>,
  signal: AbortSignal,
): Promise<Exec> {
  return await callGuest(
    services,
    input.workspace_id,
    signal,
    async ({ process }, options): Promise<Exec> => {
      const cap = input.max_output_bytes ?? limits.outputBytes.default;
      const timeout_secs = input.timeout_secs ?? limits.timeoutSecs.default;
      const reply = await process.exec(
        {
          spec: {
            ...howToRun({ ...input, timeout_secs }),
            command: input.command,
            keepBytes: Math.ceil(cap / 2),
          },
          input: pathBytes(input.input ?? ''),
        },
        options,
      );
      const exit = exitResult(reply.exited);
      const missing = [
        ...(isWhole(reply.stdout) ? [] : [`stdout was ${String(exit.stdout_bytes)} bytes`]),
        ...(isWhole(reply.stderr) ? [] : [`stderr was ${String(exit.stderr_bytes)} bytes`]),
      ];
      return {
        ...exit,
        stdout: captureText(reply.stdout),
        stderr: captureText(reply.stderr),
        ...(input.output_file === undefined ? {} : { output_file: input.output_file }),
        ...(missing.length === 0
          ? {}
          : {
              note: `${missing.join(', ')}; only the two ends are here. ${whereTheRestIs(input)}`,
            }),
      };
    },
  );
}

function whereTheRestIs({ output_file }: ParsedInputOf<'exec'>): string {
  return output_file === undefined
    ? `Run it with output_file to keep all of it in a file in the machine, or with a larger max_output_bytes (at most ${String(limits.outputBytes.max)}).`
    : `All of it is in ${output_file} (stderr in ${output_file}.stderr): read parts with file_read (offset, limit), or search there.`;
}
