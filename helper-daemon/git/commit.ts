/** git commit in a place. */
import type { OutputOf, ParsedInputOf } from '../../protocol/operations.ts';
import { redact } from '../system/redact.ts';
import { gitFailure } from './git.ts';
import type { GitHost } from './host.ts';
import {
  currentBranch,
  identityConfig,
  inRepository,
  openRepository,
  tryInRepository,
} from './repository.ts';
import { lineOf } from './text.ts';

/** Hooks of the repository run as well. */
const commitTimeoutMs = 300_000;

/** @throws CoppiceError `git_error` */
export async function commitChanges(
  host: GitHost,
  input: Omit<ParsedInputOf<'git_commit'>, 'workspace_id'>,
): Promise<OutputOf<'git_commit'>> {
  const repository = await openRepository(host, input.path);
  if (input.add_all) {
    await inRepository(repository, ['add', '--all'], { timeoutMs: commitTimeoutMs });
  }
  const { author_name: name, author_email: email } = input;
  const result = await tryInRepository(repository, ['commit', '--quiet', '--file=-'], {
    config: await identityConfig(repository),
    env: {
      ...(name === undefined ? {} : { GIT_AUTHOR_NAME: name, GIT_COMMITTER_NAME: name }),
      ...(email === undefined ? {} : { GIT_AUTHOR_EMAIL: email, GIT_COMMITTER_EMAIL: email }),
    },
    input: Buffer.from(input.message, 'utf8'),
    timeoutMs: commitTimeoutMs,
  });
  if (result.exitCode !== 0) {
    if (isNothing(result.stdout.bytes.toString('utf8'))) {
      return {
        status: 'nothing_to_commit',
        message: input.add_all
          ? 'Nothing to commit: there are no changes.'
          : 'Nothing to commit: no changes are staged.',
      };
    }
    throw gitFailure(host, 'commit', result);
  }
  const shown = await inRepository(
    repository,
    ['log', '-1', '--no-show-signature', '--encoding=UTF-8', '--format=%H%n%s'],
    { reading: true },
  );
  const [sha = '', subject = ''] = lineOf(shown).split('\n');
  const short = sha.slice(0, 7);
  return {
    commit_sha: sha,
    short_sha: short,
    branch: (await currentBranch(repository)) ?? '(detached)',
    summary: redact(`${short} ${subject}`),
  };
}

function isNothing(said: string): boolean {
  return /^(nothing to commit|nothing added to commit|no changes added to commit|.*nothing to commit, working tree clean)/m.test(
    said,
  );
}
