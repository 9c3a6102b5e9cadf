/**
 * A working tree beside the target's own, in which merges are worked out. It is sparse: nothing is checked out but
 * what conflicts, so that it costs neither time nor space of the whole tree.
 */
import { CoppiceError } from '../../../protocol/errors.ts';
import type { HostResult } from '../host.ts';
import { identityConfig, inRepository, type Repository } from '../repository.ts';
import { git, tryGit, type GitOptions } from '../git.ts';
import { fieldsOf, lineOf, pathText } from '../text.ts';
import { quietConfig } from './quiet.ts';
import { makeScratch, type Scratch } from './scratch.ts';

const sparseConfig = [
  'core.sparseCheckout=true',
  'core.sparseCheckoutCone=false',
  'index.sparse=false',
  'submodule.recurse=false',
] as const;

/** Merging thousands of commits in an emulated machine takes a while. */
const workTimeoutMs = 1_800_000;

export interface Workbench {
  /** Git in the working tree. @throws CoppiceError `git_error` */
  run(args: readonly string[]): Promise<Buffer>;
  attempt(args: readonly string[]): Promise<HostResult>;
  head(): Promise<string>;
  /** Paths in conflict. */
  conflicts(): Promise<string[]>;
  /** Back to a commit, whatever was under way. */
  reset(to: string): Promise<void>;
}

/** The caller removes the scratch afterwards. @throws CoppiceError `git_error` */
export async function openWorkbench(
  repository: Repository,
  scratch: Scratch,
  start: string,
): Promise<Workbench> {
  const { host, user } = repository;
  await makeScratch(repository, scratch);
  const config = [...quietConfig, ...sparseConfig, ...(await identityConfig(repository))];
  await inRepository(
    repository,
    ['worktree', 'add', '--quiet', '--detach', '--no-checkout', scratch.worktree, start],
    { config },
  );
  const patterns = Buffer.from('!/*\n');
  await host.makeDirectory(`${scratch.worktreeRecord}/info`, repository.uid);
  await host.write(
    `${scratch.worktreeRecord}/info/sparse-checkout`,
    one(patterns),
    patterns.length,
    repository.uid,
  );
  const options: GitOptions = {
    cwd: scratch.worktree,
    user,
    config,
    env: { GIT_EDITOR: ':' },
    timeoutMs: workTimeoutMs,
  };
  const run = async (args: readonly string[]): Promise<Buffer> => await git(host, args, options);
  await run(['read-tree', '-m', '-u', 'HEAD']);
  return {
    run,
    attempt: (args) => tryGit(host, args, options),
    head: async () => lineOf(await run(['rev-parse', 'HEAD'])),
    async conflicts() {
      // Fields: mode, id, stage; then a tab and the path, once for each side.
      const paths = fieldsOf(await run(['ls-files', '--unmerged', '-z'])).map((field) =>
        pathText(field.subarray(field.indexOf(0x09) + 1)),
      );
      return [...new Set(paths)];
    },
    async reset(to) {
      // Fails where nothing is under way.
      await tryGit(host, ['cherry-pick', '--quit'], options);
      await run(['reset', '--quiet', '--hard', to]);
      await run(['clean', '--quiet', '-ffdx']);
    },
  };
}

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** Commits of `to` that `from` has not. */
export async function countCommits(bench: Workbench, from: string, to: string): Promise<number> {
  return Number(lineOf(await bench.run(['rev-list', '--count', `${from}..${to}`])));
}

/** The latest commit that both have. @throws CoppiceError `git_error` when there is none */
export async function commonCommit(bench: Workbench, one: string, other: string): Promise<string> {
  const found = await bench.attempt(['merge-base', one, other]);
  if (found.exitCode === 0) return lineOf(found.stdout.bytes);
  throw new CoppiceError({
    code: 'git_error',
    message: 'its history is unrelated to that of the target: they have no commit in common',
  });
}
