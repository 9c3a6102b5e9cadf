/** Replies that say that something is not as it should be: exit codes and words for stderr. */
import type { OperationName, OutputOf } from '../../../protocol/operations.ts';
import { exitCodes } from '../exitCodes.ts';
import { forkComplaint } from '../render/fork.ts';
import { swarmOutcome } from '../render/swarm.ts';

export interface Outcome {
  readonly exitCode: number;
  /** For stderr. */
  readonly complaint?: string | undefined;
}

type Judges = { readonly [N in OperationName]?: (output: OutputOf<N>) => Outcome };

const judges: Judges = {
  workspace_fork: (fork) => ({ exitCode: forkExitCode(fork), complaint: forkComplaint(fork) }),
  workspace_merge: ({ success, total_commits_applied }) => ({
    exitCode: success ? exitCodes.ok : partly(total_commits_applied),
  }),
  exec_parallel: ({ summary }) => ({
    exitCode: summary.succeeded === summary.total ? exitCodes.ok : partly(summary.succeeded),
  }),
  swarm_results: swarmOutcome,
  audit_verify: ({ ok }) => ({ exitCode: ok ? exitCodes.ok : exitCodes.negative }),
  storage_verify: ({ ok }) => ({ exitCode: ok ? exitCodes.ok : exitCodes.negative }),
  pool_prepare: ({ state }) => ({
    exitCode: state === 'failed' ? exitCodes.negative : exitCodes.ok,
  }),
};

function forkExitCode({ success_count, failure_count }: OutputOf<'workspace_fork'>): number {
  return failure_count === 0 ? exitCodes.ok : partly(success_count);
}

function partly(successes: number): number {
  return successes === 0 ? exitCodes.negative : exitCodes.partial;
}

export function outcomeOf(name: OperationName, output: unknown): Outcome {
  const judge = judges[name] as ((output: unknown) => Outcome) | undefined;
  return judge?.(output) ?? { exitCode: exitCodes.ok };
}
