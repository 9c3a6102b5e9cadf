/** git push from a place. */
import { CoppiceError } from '../../protocol/errors.ts';
import type { OutputOf, ParsedInputOf } from '../../protocol/operations.ts';
import { redact } from '../system/redact.ts';
import { gitFailure, saidBy } from './git.ts';
import type { GitHost } from './host.ts';
import { remoteAdvice, type Reach } from './remoteFailure.ts';
import { currentBranch, openRepository, tryInRepository } from './repository.ts';

/** @throws CoppiceError `git_error`, `timeout` */
export async function pushBranch(
  host: GitHost,
  input: Omit<ParsedInputOf<'git_push'>, 'workspace_id'>,
  reach: Reach,
): Promise<OutputOf<'git_push'>> {
  const repository = await openRepository(host, input.path);
  const branch = input.branch ?? (await currentBranch(repository));
  if (branch === undefined) {
    throw new CoppiceError({
      code: 'git_error',
      message: `HEAD is detached in ${host.name}: there is no current branch to push.`,
      next: 'Name the branch to push, or make one first with git switch -c (exec).',
    });
  }
  const args = [
    'push',
    ...(input.force ? ['--force'] : []),
    ...(input.set_upstream ? ['--set-upstream'] : []),
    '--',
    input.remote,
    branch,
  ];
  const result = await tryInRepository(repository, args, {
    timeoutMs: input.timeout_secs * 1000,
    keepBytes: 64 * 1024,
  });
  if (result.exitCode !== 0) {
    throw gitFailure(host, 'push', result, remoteAdvice(saidBy(result), reach));
  }
  return { remote: redact(input.remote), branch, success: true, output: saidBy(result) };
}
