/**
 * One merge of several repositories into another. Everything is worked out beside the target's working tree; the
 * target changes at the end, in one step of git's own.
 */
import { asCoppiceError, CoppiceError } from '../../../protocol/errors.ts';
import type { OutputOf, ParsedInputOf } from '../../../protocol/operations.ts';
import type { MergeSourceResult } from '../../../protocol/operations/merge.ts';
import { redact } from '../../system/redact.ts';
import type { GitHost } from '../host.ts';
import { commitOf, openRepository, type Repository } from '../repository.ts';
import {
  branchFor,
  forwardTarget,
  keepBranch,
  leaveConflict,
  readyTarget,
  type KeptBranch,
  type TargetState,
} from './apply.ts';
import { changedFiles } from './changes.ts';
import { collectSource, type Collected } from './collect.ts';
import { removeScratch, scratchOf, sweep } from './scratch.ts';
import { takeSource, type Stop } from './strategies.ts';
import { openWorkbench, type Workbench } from './workbench.ts';

type Input = Pick<
  ParsedInputOf<'workspace_merge'>,
  'strategy' | 'path' | 'commit_message' | 'include_uncommitted' | 'on_conflict' | 'preview'
>;
type Output = OutputOf<'workspace_merge'>;

/** A machine that takes part; `forCleanup` works also after the call was cancelled. */
export interface MergePlace {
  readonly host: GitHost;
  readonly forCleanup: GitHost;
}

export interface MergeSource {
  /** As the caller wrote it. */
  readonly label: string;
  readonly shortId: string;
  /** @throws CoppiceError when the machine cannot be used */
  open(): Promise<MergePlace>;
}

export interface MergeParts {
  /** UUID. */
  readonly id: string;
  readonly target: MergePlace;
  readonly sources: readonly MergeSource[];
  /** Whether a merge of that id is under way now. */
  readonly isActive: (id: string) => boolean;
  /** Called before the target changes; returns the name of a snapshot of it, or null where none is wanted. */
  readonly secure: (head: string) => Promise<string | null>;
  /** The target has not changed after all. */
  readonly unsecure: (snapshot: string) => Promise<void>;
  readonly progress: (message: string, fraction?: number) => void;
}

interface Plan {
  readonly rows: MergeSourceResult[];
  /** Commit the target is to be on. */
  readonly result: string;
  readonly branches: readonly (KeptBranch & { readonly row: number })[];
  /** Arguments of git that leave the conflict. */
  readonly leave?: readonly string[];
}

/** @throws CoppiceError `git_error`, `wrong_state`, `merge_conflict`; the target is as it was then */
export async function mergeRepositories(input: Input, parts: MergeParts): Promise<Output> {
  const target = await openRepository(parts.target.host, input.path);
  const state = await readyTarget(target);
  if (input.strategy === 'branch-per-source' && state.branch === undefined) {
    throw new CoppiceError({
      code: 'wrong_state',
      message: `HEAD is detached in ${target.host.name}: there is no branch to merge into.`,
      next: 'Check out a branch there (git switch), or use the strategy sequential or cherry-pick.',
    });
  }
  await sweep(target, parts.isActive);
  const scratch = scratchOf(target, parts.id);
  let plan: Plan;
  try {
    const bench = await openWorkbench(target, scratch, state.head);
    plan = await workOut(input, parts, target, bench, state.head);
  } finally {
    await removeScratch({ ...target, host: parts.target.forCleanup }, scratch);
  }
  const snapshot = input.preview ? null : await carryOut(parts, target, state, plan);
  return report(input, state, plan, snapshot);
}

async function workOut(
  input: Input,
  parts: MergeParts,
  target: Repository,
  bench: Workbench,
  start: string,
): Promise<Plan> {
  const rows: MergeSourceResult[] = [];
  let result = start;
  const branches: (KeptBranch & { row: number })[] = [];
  let leave: readonly string[] | undefined;
  for (const [index, source] of parts.sources.entries()) {
    if (leave !== undefined) {
      rows.push(failed(source, 'not tried: the conflict before it has to be resolved first'));
      continue;
    }
    parts.progress(`Merging ${source.label}`, index / parts.sources.length);
    const before = result;
    try {
      const collected = await collectFrom(source, target, input, parts, index);
      const { commits, stop } = await takeSource(
        bench,
        before,
        { sha: collected.sha, message: messageFor(input, source) },
        { strategy: input.strategy, keepBefore: input.on_conflict === 'leave' },
      );
      result = await bench.head();
      if (input.on_conflict === 'leave') leave = stop?.again;
      if (input.strategy === 'branch-per-source' && stop?.again !== undefined) {
        branches.push({ wanted: branchFor(source.label), sha: collected.sha, row: index });
      }
      rows.push({
        source_id: source.label,
        success: stop === undefined,
        error: stop === undefined ? null : errorOf(stop, leave !== undefined && !input.preview),
        commits_applied: commits,
        conflicted: [...(stop?.files ?? [])],
        ...uncommittedOf(collected),
        ...(input.preview ? await changedFiles(bench, before, result) : {}),
      });
    } catch (error) {
      const failure = asCoppiceError(error);
      if (failure.code === 'cancelled' || failure.code === 'internal') throw failure;
      // The workbench too may be what failed: then this fails as well, and the merge with it.
      await bench.reset(before);
      result = before;
      rows.push(failed(source, failure.message));
    }
  }
  return { rows, result, branches, ...(leave === undefined ? {} : { leave }) };
}

async function collectFrom(
  source: MergeSource,
  target: Repository,
  input: Input,
  { id, isActive }: MergeParts,
  index: number,
): Promise<Collected> {
  return await collectSource(await source.open(), target, {
    mergeId: id,
    index,
    label: source.label,
    path: input.path,
    includeUncommitted: input.include_uncommitted,
    isActive,
  });
}

/** @returns the name of the snapshot of before */
async function carryOut(
  parts: MergeParts,
  target: Repository,
  state: TargetState,
  plan: Plan,
): Promise<string | null> {
  const changes = plan.result !== state.head || plan.leave !== undefined;
  const snapshot = changes ? await parts.secure(state.head) : null;
  try {
    if (plan.result !== state.head) {
      parts.progress(`Updating ${target.host.name}`, 1);
      await forwardTarget(target, parts.id, plan.result);
    }
    for (const branch of plan.branches) {
      const row = plan.rows[branch.row];
      if (row !== undefined) row.branch = await keepBranch(target, parts.id, branch);
    }
    if (plan.leave !== undefined) await leaveConflict(target, parts.id, plan.leave);
    return snapshot;
  } catch (error) {
    const unchanged = (await commitOf(target, 'HEAD').catch(() => undefined)) === state.head;
    if (snapshot !== null && unchanged) await parts.unsecure(snapshot);
    throw error;
  }
}

function report(input: Input, state: TargetState, plan: Plan, snapshot: string | null): Output {
  const { rows } = plan;
  return {
    success: rows.every(({ success }) => success),
    strategy: input.strategy,
    preview: input.preview,
    total_commits_applied: rows.reduce((sum, { commits_applied: n }) => sum + n, 0),
    merged_sources: rows.filter(({ success }) => success).map(({ source_id }) => source_id),
    conflicts: rows
      .filter(({ success }) => !success)
      .map(({ source_id, error, conflicted }) => ({
        source_id,
        error: error ?? '',
        files: conflicted,
      })),
    results: rows,
    rollback_snapshot: snapshot,
    target_head_before: state.head,
    target_head_after: plan.result,
  };
}

function failed({ label }: MergeSource, error: string): MergeSourceResult {
  return { source_id: label, success: false, error, commits_applied: 0, conflicted: [] };
}

function messageFor({ commit_message: message }: Input, { label, shortId }: MergeSource): string {
  return message === undefined ? `Merge workspace ${label}` : `${message} (from ${shortId})`;
}

function errorOf(stop: Stop, left: boolean): string {
  const { again } = stop;
  const error = redact(stop.error);
  if (!left) return error;
  const how =
    again?.[0] === 'merge'
      ? 'git add and git commit'
      : 'git add and git cherry-pick --continue, which also brings the commits after it';
  return `${error}; it was left in the target: resolve it there with ${how}`;
}

/** Paths that a row shows at most. */
const shownPaths = 1000;

function uncommittedOf({ uncommitted }: Collected): { uncommitted?: string[] } {
  return uncommitted.length === 0 ? {} : { uncommitted: uncommitted.slice(0, shownPaths) };
}
