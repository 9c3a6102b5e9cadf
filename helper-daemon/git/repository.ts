/** A repository in a place, and how git runs in it. */
import path from 'node:path/posix';
import { CoppiceError } from '../../protocol/errors.ts';
import { git, gitFailure, notARepository, tryGit, type GitOptions } from './git.ts';
import type { GitHost, HostResult } from './host.ts';
import { lineOf, linesOf } from './text.ts';

export interface Repository {
  readonly host: GitHost;
  /** As the caller gave it. */
  readonly path: string;
  /** Absolute; of this working tree. */
  readonly gitDirectory: string;
  /** Absolute; shared by all working trees of the repository. */
  readonly commonDirectory: string;
  readonly uid: number;
  readonly user: string | undefined;
}

type Options = Omit<GitOptions, 'cwd' | 'user'>;

/** @throws CoppiceError `git_error` where there is no repository with a working tree, and as tryGit */
export async function openRepository(host: GitHost, at: string): Promise<Repository> {
  const { uid, user } = await ownerOf(host, at);
  const args = ['rev-parse', '--is-inside-work-tree', '--absolute-git-dir', '--git-common-dir'];
  const result = await tryGit(host, args, { cwd: at, user, reading: true });
  if (result.exitCode !== 0) throw gitFailure(host, 'rev-parse', result);
  const [inside, gitDirectory, common] = linesOf(result.stdout.bytes);
  if (inside !== 'true' || gitDirectory === undefined || common === undefined) {
    throw notARepository(host, 'Give the path of a working tree, not of a bare repository.');
  }
  return {
    host,
    path: at,
    gitDirectory,
    commonDirectory: path.resolve(at, common),
    uid,
    user,
  };
}

/**
 * Whose git runs there. Files of another account than root stay that account's when git runs as it; one that has
 * no name in the machine is served by root.
 */
export async function ownerOf(
  host: GitHost,
  at: string,
): Promise<{ readonly uid: number; readonly user: string | undefined }> {
  const directory = await host.stat(at);
  if (directory === undefined) {
    throw new CoppiceError({
      code: 'file_not_found',
      message: `There is no directory ${at} in ${host.name}.`,
      next: 'Give the path of the repository in the machine.',
    });
  }
  if (directory.uid === 0) return { uid: 0, user: undefined };
  const user = String(directory.uid);
  const runs = await tryGit(host, ['--version'], { cwd: '/', user }).catch(() => undefined);
  return runs?.exitCode === 0 ? { uid: directory.uid, user } : { uid: 0, user: undefined };
}

/** Git in the repository. @throws CoppiceError `git_error`, and as tryGit */
export async function inRepository(
  repository: Repository,
  args: readonly string[],
  options: Options = {},
): Promise<Buffer> {
  return await git(repository.host, args, { ...options, ...place(repository) });
}

export async function tryInRepository(
  repository: Repository,
  args: readonly string[],
  options: Options = {},
): Promise<HostResult> {
  return await tryGit(repository.host, args, { ...options, ...place(repository) });
}

function place({ path: cwd, user }: Repository): Pick<GitOptions, 'cwd' | 'user'> {
  return { cwd, user };
}

/** Id of what a name stands for; undefined where it stands for no commit. */
export async function commitOf(repository: Repository, name: string): Promise<string | undefined> {
  const result = await tryInRepository(
    repository,
    ['rev-parse', '--verify', '--quiet', `${name}^{commit}`],
    { reading: true },
  );
  return result.exitCode === 0 ? lineOf(result.stdout.bytes) : undefined;
}

/** Name of the current branch, also of one without commits; undefined when HEAD is detached. */
export async function currentBranch(repository: Repository): Promise<string | undefined> {
  const args = ['symbolic-ref', '--quiet', '--short', 'HEAD'];
  const result = await tryInRepository(repository, args, { reading: true });
  return result.exitCode === 0 ? lineOf(result.stdout.bytes) : undefined;
}

const fallbackIdentity = { name: 'Coppice', email: 'coppice@localhost' };

/**
 * Configuration that gives git somebody to commit as where nobody is configured; variables such as
 * GIT_COMMITTER_NAME go before it.
 */
export async function identityConfig(repository: Repository): Promise<string[]> {
  const { stdout } = await tryInRepository(
    repository,
    ['config', '--get-regexp', '^user\\.(name|email)$'],
    { reading: true },
  );
  const known = linesOf(stdout.bytes).map((line) => line.split(' ')[0]);
  return [
    ...(known.includes('user.name') ? [] : [`user.name=${fallbackIdentity.name}`]),
    ...(known.includes('user.email') ? [] : [`user.email=${fallbackIdentity.email}`]),
  ];
}
