/** How the commits of one source come on top of what the workbench has. */
import type { ParsedInputOf } from '../../../protocol/operations.ts';
import { saidBy } from '../git.ts';
import { lineOf, linesOf, somePaths } from '../text.ts';
import { commonCommit, countCommits, type Workbench } from './workbench.ts';

export type Strategy = ParsedInputOf<'workspace_merge'>['strategy'];

export interface SourceHead {
  readonly sha: string;
  /** Message of a merge commit. */
  readonly message: string;
}

export interface Stop {
  /** What happened, in one line. */
  readonly error: string;
  readonly files: readonly string[];
  /** Arguments of git that end in the same conflict again; absent where it was no conflict. */
  readonly again?: readonly string[];
}

export interface Taken {
  /** Commits of the source that are there now. */
  readonly commits: number;
  readonly stop?: Stop;
}

export interface TakeOptions {
  readonly strategy: Strategy;
  /** Keep the commits before the one that conflicts, whatever the strategy. */
  readonly keepBefore: boolean;
}

/**
 * Takes a source on top of `start`, where the workbench is; after a stop it is there again, or at the last commit
 * that is kept.
 * @throws CoppiceError `git_error`
 */
export async function takeSource(
  bench: Workbench,
  start: string,
  source: SourceHead,
  { strategy, keepBefore }: TakeOptions,
): Promise<Taken> {
  const common = await commonCommit(bench, start, source.sha);
  if (common === source.sha) return { commits: 0 };
  if (strategy === 'branch-per-source') return await mergeBranch(bench, start, source);
  // Nothing in between: the commits themselves, not copies of them.
  if (common === start) return await goForward(bench, start, source);
  return await pickCommits(bench, start, source, keepBefore || strategy === 'cherry-pick');
}

async function goForward(bench: Workbench, start: string, { sha }: SourceHead): Promise<Taken> {
  const commits = await countCommits(bench, start, sha);
  await bench.run(['merge', '--quiet', '--ff-only', '--no-stat', sha]);
  return { commits };
}

async function mergeBranch(bench: Workbench, start: string, source: SourceHead): Promise<Taken> {
  const commits = await countCommits(bench, start, source.sha);
  const args = ['merge', '--no-ff', '--no-edit', '--no-stat', '-m', source.message, source.sha];
  const merged = await bench.attempt(args);
  if (merged.exitCode === 0) return { commits };
  const files = await bench.conflicts();
  await bench.reset(start);
  return files.length === 0
    ? { commits: 0, stop: { error: `it could not be merged: ${saidBy(merged)}`, files } }
    : { commits: 0, stop: { error: `merge conflict in ${somePaths(files)}`, files, again: args } };
}

/** Arguments of one command; more are given to the next. */
const picksAtOnce = 200;
const pick = ['cherry-pick', '--allow-empty', '--allow-empty-message', '-m', '1'] as const;

async function pickCommits(
  bench: Workbench,
  start: string,
  source: SourceHead,
  keepBefore: boolean,
): Promise<Taken> {
  // The first parents alone: a merge among them (-m 1) brings all that its other side has.
  const commits = linesOf(
    await bench.run(['rev-list', '--reverse', '--first-parent', `${start}..${source.sha}`]),
  );
  for (let at = 0; at < commits.length; at += picksAtOnce) {
    const stop = await pickSome(bench, commits, at);
    if (stop === undefined) continue;
    await bench.reset(keepBefore ? 'HEAD' : start);
    return { commits: keepBefore ? await countCommits(bench, start, 'HEAD') : 0, stop };
  }
  return { commits: await countCommits(bench, start, 'HEAD') };
}

async function pickSome(
  bench: Workbench,
  commits: readonly string[],
  at: number,
): Promise<Stop | undefined> {
  const some = commits.slice(at, at + picksAtOnce);
  let result = await bench.attempt([...pick, ...some]);
  for (let skipped = 0; result.exitCode !== 0; skipped += 1) {
    const files = await bench.conflicts();
    const current = await bench.attempt(['rev-parse', '--verify', '--quiet', 'CHERRY_PICK_HEAD']);
    const commit = lineOf(current.stdout.bytes);
    if (files.length === 0 && skipped < some.length && (await isEmpty(bench, commit))) {
      // The target has its changes already.
      result = await bench.attempt(['cherry-pick', '--skip']);
      continue;
    }
    const name = commit === '' ? 'a commit' : await nameOf(bench, commit);
    return files.length === 0
      ? { error: `${name} could not be applied: ${saidBy(result)}`, files }
      : {
          error: `merge conflict in ${somePaths(files)} (${name})`,
          files,
          again: [...pick, ...commits.slice(commits.indexOf(commit))],
        };
  }
  return undefined;
}

async function isEmpty(bench: Workbench, commit: string): Promise<boolean> {
  if (commit === '') return false;
  const same = await bench.attempt(['diff-index', '--quiet', '--cached', 'HEAD', '--']);
  return same.exitCode === 0;
}

async function nameOf(bench: Workbench, commit: string): Promise<string> {
  const args = ['log', '-1', '--no-show-signature', '--encoding=UTF-8', '--format=%h %s', commit];
  return `commit ${lineOf(await bench.run(args)).slice(0, 200)}`;
}
