/** How a process of the guest ended, as clients see it. */
import { getSystemErrorMap } from 'node:util';
import type { ExitResult } from '../../../protocol/operations/process.ts';
import type { Exited } from '../../guest/gen/coppice/guest/v1/guest_pb.js';

export function exitResult(exited: Exited | undefined): ExitResult {
  if (exited === undefined) throw new Error('the guest reported no exit');
  return {
    exit_code: exited.exitCode ?? -1,
    signal: exited.signal ?? null,
    timed_out: exited.timedOut,
    duration_ms: Number(exited.durationNs) / 1e6,
    stdout_bytes: Number(exited.stdoutBytes),
    stderr_bytes: Number(exited.stderrBytes),
    ...(exited.outputErrno === 0
      ? {}
      : { output_file_problem: `writing it failed: ${errnoText(exited.outputErrno)}` }),
  };
}

/** The guest's number need not be one that there is. */
function errnoText(number: number): string {
  return getSystemErrorMap().get(-number)?.[1] ?? `error ${String(number)}`;
}
