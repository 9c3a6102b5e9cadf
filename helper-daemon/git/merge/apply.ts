/** The one step in which the target changes. */
import path from 'node:path/posix';
import { CoppiceError } from '../../../protocol/errors.ts';
import { gitFailure, saidBy } from '../git.ts';
import {
  commitOf,
  currentBranch,
  identityConfig,
  inRepository,
  tryInRepository,
  type Repository,
} from '../repository.ts';
import { parseStatus } from '../status.ts';
import { somePaths } from '../text.ts';
import { mergeLabel } from './scratch.ts';
import { quietConfig } from './quiet.ts';

export interface TargetState {
  readonly head: string;
  readonly branch: string | undefined;
}

/** A branch that keeps what did not merge. */
export interface KeptBranch {
  readonly wanted: string;
  readonly sha: string;
}

const applyTimeoutMs = 600_000;

/**
 * What the target is on, if commits can be brought to it now.
 * @throws CoppiceError `wrong_state` when there is work in it that a merge could cost
 */
export async function readyTarget(repository: Repository): Promise<TargetState> {
  const { host } = repository;
  const head = await commitOf(repository, 'HEAD');
  if (head === undefined) {
    throw new CoppiceError({
      code: 'wrong_state',
      message: `The repository in ${host.name} has no commits yet.`,
      next: 'Commit something there first (git_commit), or clone instead of merging (git_clone).',
    });
  }
  const busy = await underWay(repository);
  if (busy !== undefined) {
    throw new CoppiceError({
      code: 'wrong_state',
      message: `A ${busy} is under way in ${host.name}.`,
      next: `Finish it there with exec (git ${busy} --continue), or give it up (git ${busy} --abort).`,
    });
  }
  const status = parseStatus(
    await inRepository(
      repository,
      ['status', '--porcelain=v2', '-z', '--untracked-files=no', '--ignore-submodules=dirty'],
      { reading: true },
    ),
    false,
  );
  const files = [...new Set([...status.conflicted, ...status.staged, ...status.modified])];
  if (files.length > 0) {
    throw new CoppiceError({
      code: 'wrong_state',
      message: `${host.name} has changes that are not committed: ${somePaths(files)}.`,
      next: 'Commit them with git_commit, or put them aside with git stash (exec), then merge again.',
      details: { files: files.slice(0, 1000) },
    });
  }
  return { head, branch: await currentBranch(repository) };
}

const signs: readonly (readonly [string, string])[] = [
  ['MERGE_HEAD', 'merge'],
  ['CHERRY_PICK_HEAD', 'cherry-pick'],
  ['REVERT_HEAD', 'revert'],
  ['sequencer', 'cherry-pick'],
  ['rebase-merge', 'rebase'],
  ['rebase-apply', 'rebase'],
];

async function underWay({ host, gitDirectory }: Repository): Promise<string | undefined> {
  for (const [file, what] of signs) {
    if ((await host.stat(path.join(gitDirectory, file))) !== undefined) return what;
  }
  return undefined;
}

/**
 * Moves branch, index and files from the one commit to the other, or leaves them alone: git itself looks first
 * whether anything is in the way. Goes on to its end whoever goes away meanwhile.
 * @throws CoppiceError `merge_conflict`
 */
export async function forwardTarget(
  repository: Repository,
  mergeId: string,
  to: string,
): Promise<void> {
  const result = await tryInRepository(
    repository,
    ['merge', '--quiet', '--ff-only', '--no-stat', '--no-overwrite-ignore', to],
    {
      config: quietConfig,
      durable: mergeLabel(mergeId),
      timeoutMs: applyTimeoutMs,
      env: { GIT_REFLOG_ACTION: `coppice merge ${mergeId.slice(0, 8)}` },
    },
  );
  if (result.exitCode === 0) return;
  throw new CoppiceError({
    code: 'merge_conflict',
    message: `The merge was worked out, but ${repository.host.name} did not take it and is as it was: ${saidBy(result)}`,
    next: 'Files in the way have to be committed, moved or removed there; if its branch has moved meanwhile, merge again.',
  });
}

/** Ends in a conflict in the working tree, for somebody to resolve. */
export async function leaveConflict(
  repository: Repository,
  mergeId: string,
  args: readonly string[],
): Promise<void> {
  const result = await tryInRepository(repository, args, {
    config: [...quietConfig, ...(await identityConfig(repository))],
    durable: mergeLabel(mergeId),
    timeoutMs: applyTimeoutMs,
    env: { GIT_EDITOR: ':' },
  });
  if ((await underWay(repository)) !== undefined) return;
  throw gitFailure(repository.host, args[0] ?? '', result);
}

/** Makes or moves on a branch; one that has other commits keeps them, and this one gets another name. */
export async function keepBranch(
  repository: Repository,
  mergeId: string,
  { wanted, sha }: KeptBranch,
): Promise<string> {
  const old = await commitOf(repository, `refs/heads/${wanted}`);
  const grows =
    old === undefined ||
    (
      await tryInRepository(repository, ['merge-base', '--is-ancestor', old, sha], {
        reading: true,
      })
    ).exitCode === 0;
  const current = await currentBranch(repository);
  const name = grows && current !== wanted ? wanted : `${wanted}-${mergeId.slice(0, 8)}`;
  await inRepository(repository, ['branch', '--force', '--no-track', name, sha], {
    config: quietConfig,
    durable: mergeLabel(mergeId),
  });
  return name;
}

/** A name that git takes, from one of a workspace. */
export function branchFor(label: string): string {
  const safe = label
    .replace(/\.{2,}/g, '.')
    .replace(/^[.-]+/, '')
    .replace(/(\.lock|\.)+$/, '');
  return `merge/${safe === '' ? 'source' : safe}`;
}
