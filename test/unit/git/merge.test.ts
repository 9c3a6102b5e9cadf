/** What merges do around the commits themselves: refusals, work in progress, previews, conflicts left behind. */
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { branchFor } from '../../../helper-daemon/git/merge/apply.ts';
import { CoppiceError } from '../../../protocol/errors.ts';
import { merge } from './support/merging.ts';
import {
  clean,
  repositoryBed,
  traces,
  type Bed,
  type TestRepository,
} from './support/repositories.ts';

/** Dozens of git processes each, on a host that may be busy. */
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

let bed: Bed;
let golden: TestRepository;
let target: TestRepository;
let source: TestRepository;
let tests = 0;

beforeAll(() => {
  bed = repositoryBed();
  golden = bed.create('golden');
  golden.commit('first', { 'a.txt': 'a\n', 'b.txt': 'b\n', '.gitignore': 'ignored\n' });
  golden.commit('second', { 'c.txt': 'c\n' });
});

afterAll(() => bed.dispose());

beforeEach(() => {
  tests += 1;
  target = bed.fork(golden, `target-${String(tests)}`);
  source = bed.fork(golden, `source-${String(tests)}`);
});

async function refusal(work: Promise<unknown>): Promise<CoppiceError> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof CoppiceError) return error;
  throw new Error('not refused', { cause: error });
}

describe('a target', () => {
  it('gets commits although nobody is configured in it, and keeps their authors', async () => {
    source.commit('work', { 'new.txt': 'new\n' });
    target.commit('meanwhile', { 'meanwhile.txt': 'x\n' });
    await merge(bed, target, { source });
    expect(target.git('log', '-1', '--format=%an <%ae>, %cn <%ce>')).toBe(
      'Test Author <author@example.com>, Coppice <coppice@localhost>',
    );
  });

  it('commits as whoever is configured in it', async () => {
    target.git('config', 'user.name', 'Jo');
    target.git('config', 'user.email', 'jo@example.com');
    source.commit('work', { 'new.txt': 'new\n' });
    await merge(bed, target, { source }, { strategy: 'branch-per-source' });
    expect(target.git('log', '-1', '--format=%an <%ae>, %cn <%ce>')).toBe(
      'Jo <jo@example.com>, Jo <jo@example.com>',
    );
  });

  it('with a detached HEAD takes commits but no branches', async () => {
    source.commit('work', { 'new.txt': 'new\n' });
    target.git('switch', '--quiet', '--detach');
    const error = await refusal(merge(bed, target, { source }, { strategy: 'branch-per-source' }));
    expect(error.code).toBe('wrong_state');
    expect(error.message).toContain('HEAD is detached');
    await merge(bed, target, { source });
    expect(target.head()).toBe(source.head());
    expect(target.git('rev-parse', 'main')).toBe(golden.head());
    expect(traces(target)).toEqual(clean);
  });

  it('with uncommitted changes is refused, and the files are named', async () => {
    source.commit('work', { 'new.txt': 'new\n' });
    target.write('a.txt', 'changed\n');
    target.write('b.txt', 'staged\n');
    target.git('add', 'b.txt');
    const error = await refusal(merge(bed, target, { source }));
    expect(error.code).toBe('wrong_state');
    expect(error.details?.['files']).toEqual(['b.txt', 'a.txt']);
    expect(error.next).toContain('git_commit');
    expect(target.head()).toBe(golden.head());
    expect(readFileSync(path.join(target.path, 'a.txt'), 'utf8')).toBe('changed\n');
  });

  it('keeps its untracked files', async () => {
    source.commit('work', { 'new.txt': 'new\n' });
    target.write('notes', 'mine\n');
    await merge(bed, target, { source });
    expect(target.head()).toBe(source.head());
    expect(traces(target)).toEqual({ ...clean, status: '?? notes' });
  });

  it.each(['untracked', 'ignored'])('with %s files in the way stays as it is', async (name) => {
    source.write(name, 'theirs\n');
    source.git('add', '--force', name);
    source.git('commit', '--quiet', '-m', 'work');
    target.write(name, 'mine\n');
    const snapshots: string[] = [];
    const error = await refusal(merge(bed, target, { source }, { snapshots }));
    expect(error.code).toBe('merge_conflict');
    expect(error.message).toContain(name);
    expect(readFileSync(path.join(target.path, name), 'utf8')).toBe('mine\n');
    expect(target.head()).toBe(golden.head());
    expect(snapshots).toEqual([]);
    expect(traces(target)).toEqual({ ...clean, status: name === 'ignored' ? '' : `?? ${name}` });
  });

  it('in the middle of a merge is refused', async () => {
    target.git('switch', '--quiet', '-c', 'side');
    target.commit('side', { 'a.txt': 'side\n' });
    target.git('switch', '--quiet', 'main');
    target.commit('main', { 'a.txt': 'main\n' });
    expect(() => target.git('merge', 'side')).toThrow();
    const error = await refusal(merge(bed, target, { source }));
    expect(error.code).toBe('wrong_state');
    expect(error.message).toContain('A merge is under way');
  });

  it('without commits is refused', async () => {
    const empty = bed.create(`empty-${String(tests)}`);
    expect((await refusal(merge(bed, empty, { source }))).message).toContain('no commits yet');
  });

  it('whose branch moves meanwhile stays where it moved to', async () => {
    source.commit('work', { 'new.txt': 'new\n' });
    let moved = '';
    const error = await refusal(
      merge(
        bed,
        target,
        { source },
        {
          inTarget(argv) {
            if (moved === '' && argv.includes('--no-overwrite-ignore')) {
              moved = target.commit('meanwhile', { 'a.txt': 'meanwhile\n' });
            }
          },
        },
      ),
    );
    expect(error.code).toBe('merge_conflict');
    expect(target.head()).toBe(moved);
    expect(traces(target)).toEqual(clean);
  });

  it('runs none of its hooks', async () => {
    const hooks = ['post-merge', 'post-checkout', 'pre-commit', 'post-commit', 'commit-msg'];
    mkdirSync(path.join(target.path, '.git/hooks'), { recursive: true });
    for (const hook of [...hooks, 'reference-transaction', 'prepare-commit-msg']) {
      const file = path.join(target.path, '.git/hooks', hook);
      writeFileSync(file, '#!/bin/sh\ntouch "$(dirname "$0")/ran"\nexit 1\n');
      chmodSync(file, 0o755);
    }
    source.commit('work', { 'new.txt': 'new\n' });
    const result = await merge(bed, target, { source }, { strategy: 'branch-per-source' });
    expect(result.success).toBe(true);
    expect(existsSync(path.join(target.path, '.git/hooks/ran'))).toBe(false);
  });

  it('is found through a directory inside its repository', async () => {
    for (const repository of [target, source]) repository.commit('dir', { 'sub/x': 'x\n' });
    source.git('reset', '--quiet', '--hard', golden.head());
    source.git('fetch', '--quiet', target.path, 'main');
    source.git('reset', '--quiet', '--hard', 'FETCH_HEAD');
    source.commit('work', { 'sub/y': 'y\n', 'top.txt': 'top\n' });
    target.commit('meanwhile', { 'c.txt': 'changed\n' });
    const result = await merge(bed, target, { source }, { below: '/sub' });
    expect(result.success).toBe(true);
    expect(existsSync(path.join(target.path, 'top.txt'))).toBe(true);
    expect(traces(target)).toEqual(clean);
  });
});

describe('a source', () => {
  it('with nothing new is merged with nothing, and no snapshot is taken', async () => {
    const snapshots: string[] = [];
    target.commit('ahead', { 'a.txt': 'ahead\n' });
    const before = target.head();
    const result = await merge(bed, target, { source }, { snapshots });
    expect(result).toMatchObject({
      success: true,
      merged_sources: ['source'],
      total_commits_applied: 0,
      rollback_snapshot: null,
      target_head_after: before,
    });
    expect(snapshots).toEqual([]);
  });

  it('brings a commit that another source brought before only once', async () => {
    source.commit('shared', { 'shared.txt': 'shared\n' });
    const other = bed.fork(source, `other-${String(tests)}`);
    source.commit('mine', { 'mine.txt': 'mine\n' });
    other.commit('theirs', { 'theirs.txt': 'theirs\n' });
    target.commit('meanwhile', { 'meanwhile.txt': 'x\n' });
    const result = await merge(bed, target, { source, other });
    expect(result.results.map(({ commits_applied: count }) => count)).toEqual([2, 1]);
    expect(target.subjects(4)).toEqual(['meanwhile', 'shared', 'mine', 'theirs']);
  });

  it('that shares nothing with the target is told apart', async () => {
    const stranger = bed.create(`stranger-${String(tests)}`);
    stranger.commit('elsewhere', { 'a.txt': 'elsewhere\n' });
    const result = await merge(bed, target, { stranger });
    expect(result.results[0]?.error).toContain('unrelated');
    expect(result.success).toBe(false);
    expect(traces(target)).toEqual(clean);
  });

  it('that is no repository fails alone', async () => {
    source.commit('work', { 'new.txt': 'new\n' });
    const none = bed.at(path.join(bed.directory, `none-${String(tests)}`));
    mkdirSync(none.path);
    const result = await merge(bed, target, { none, source });
    expect(result.merged_sources).toEqual(['source']);
    expect(result.conflicts[0]).toMatchObject({ source_id: 'none', files: [] });
    expect(result.conflicts[0]?.error).toContain('no git repository');
  });

  it('that was cloned shallow like the target brings its work', async () => {
    const upstream = `file://${golden.path}`;
    for (const name of ['shallow', 'shallow-fork']) {
      golden.git('clone', '--quiet', '--depth=1', upstream, path.join(bed.directory, name));
    }
    const shallow = bed.at(path.join(bed.directory, 'shallow'));
    const fork = bed.at(path.join(bed.directory, 'shallow-fork'));
    fork.commit('work', { 'new.txt': 'new\n' });
    shallow.commit('meanwhile', { 'meanwhile.txt': 'x\n' });
    for (const strategy of ['sequential', 'branch-per-source'] as const) {
      const result = await merge(bed, shallow, { fork }, { strategy });
      expect(result.conflicts).toEqual([]);
    }
    expect(shallow.git('show', 'HEAD:new.txt')).toBe('new');
    expect(traces(shallow)).toEqual(clean);
  });

  it('tells what it has not committed, and leaves that behind', async () => {
    source.commit('work', { 'new.txt': 'new\n' });
    source.write('a.txt', 'changed\n');
    source.write('untracked.txt', 'u\n');
    const result = await merge(bed, target, { source });
    expect(result.results[0]).toMatchObject({
      success: true,
      commits_applied: 1,
      uncommitted: ['a.txt', 'untracked.txt'],
    });
    expect(target.git('show', 'HEAD:a.txt')).toBe('a');
  });

  it('brings what it has not committed where that is wanted, and keeps it as it is', async () => {
    source.write('a.txt', 'changed\n');
    source.write('b.txt', 'staged\n');
    source.git('add', 'b.txt');
    source.write('untracked.txt', 'u\n');
    source.write('ignored', 'i\n');
    const status = source.git('status', '--porcelain');
    const index = source.git('ls-files', '--stage');
    const result = await merge(bed, target, { source }, { include_uncommitted: true });
    expect(result.results[0]).toMatchObject({ success: true, commits_applied: 1 });
    expect(result.results[0]?.uncommitted).toBeUndefined();
    expect(target.git('ls-tree', '--name-only', 'HEAD').split('\n')).toEqual([
      '.gitignore',
      'a.txt',
      'b.txt',
      'c.txt',
      'untracked.txt',
    ]);
    expect(target.git('show', 'HEAD:a.txt', 'HEAD:b.txt')).toBe('changed\nstaged');
    expect(target.subjects(1)).toEqual(['Uncommitted changes of source']);
    expect(source.head()).toBe(golden.head());
    expect(source.git('status', '--porcelain')).toBe(status);
    expect(source.git('ls-files', '--stage')).toBe(index);
    expect(traces(source)).toEqual({ ...clean, status });
  });

  it('with more commits than one command takes stops at the one that conflicts', async () => {
    for (let index = 0; index < 230; index += 1) {
      source.commit(`step ${String(index)}`, { 'steps.txt': `${String(index)}\n` });
    }
    source.commit('breaks', { 'a.txt': 'theirs\n' });
    source.commit('after', { 'after.txt': 'after\n' });
    target.commit('meanwhile', { 'a.txt': 'ours\n' });
    const picked = await merge(bed, target, { source }, { strategy: 'cherry-pick' });
    expect(picked.results[0]).toMatchObject({ commits_applied: 230, conflicted: ['a.txt'] });
    expect(picked.results[0]?.error).toMatch(/merge conflict in a\.txt \(commit \w+ breaks\)/);
    expect(target.subjects(1)).toEqual(['step 229']);
    expect(traces(target)).toEqual(clean);
  });
});

describe('branch-per-source', () => {
  it('makes a merge commit for each source, with the message and who it came from', async () => {
    source.commit('one', { 'one.txt': '1\n' });
    source.commit('two', { 'two.txt': '2\n' });
    const result = await merge(
      bed,
      target,
      { source },
      { strategy: 'branch-per-source', commit_message: 'Bring it' },
    );
    expect(result.total_commits_applied).toBe(2);
    expect(target.subjects(1)).toEqual(['Bring it (from 00000000)']);
    expect(target.git('rev-parse', 'HEAD^2')).toBe(source.head());
    expect(target.git('branch', '--format=%(refname:short)')).toBe('main');
  });

  it('moves the branch it kept when the source has gone on, and never loses another of its name', async () => {
    source.commit('theirs', { 'a.txt': 'theirs\n' });
    target.commit('ours', { 'a.txt': 'ours\n' });
    const strategy = 'branch-per-source';
    await merge(bed, target, { source }, { strategy });
    source.commit('more', { 'more.txt': 'more\n' });
    const again = await merge(bed, target, { source }, { strategy });
    expect(again.results[0]?.branch).toBe('merge/source');
    expect(target.git('rev-parse', 'merge/source')).toBe(source.head());
    const mine = target.git('commit-tree', '-m', 'mine', 'HEAD^{tree}');
    target.git('branch', '--force', 'merge/source', mine);
    const third = await merge(bed, target, { source }, { strategy });
    expect(third.results[0]?.branch).toMatch(/^merge\/source-[0-9a-f]{8}$/);
    expect(target.git('rev-parse', 'merge/source')).toBe(mine);
  });

  it.each([
    ['feat', 'merge/feat'],
    ['a..b', 'merge/a.b'],
    ['-x', 'merge/x'],
    ['x.lock', 'merge/x'],
    ['x.', 'merge/x'],
    ['..', 'merge/source'],
  ])('calls the branch of %s %s', (label, branch) => {
    expect(branchFor(label)).toBe(branch);
    golden.git('check-ref-format', '--branch', branch);
  });
});

describe('a preview', () => {
  it('says what would happen, file by file, and changes nothing', async () => {
    source.commit('work', { 'new.txt': 'new\n', 'a.txt': 'theirs\n' });
    source.git('mv', 'c.txt', 'd.txt');
    source.commit('moved');
    const other = bed.fork(golden, `other-${String(tests)}`);
    other.commit('conflict', { 'a.txt': 'other\n' });
    const before = target.git('for-each-ref');
    const index = readFileSync(path.join(target.path, '.git/index'));
    const snapshots: string[] = [];
    const result = await merge(
      bed,
      target,
      { source, other },
      { preview: true, strategy: 'branch-per-source', snapshots },
    );
    expect(result).toMatchObject({
      preview: true,
      success: false,
      total_commits_applied: 2,
      conflicts: [{ source_id: 'other', files: ['a.txt'] }],
      rollback_snapshot: null,
    });
    expect(result.results[0]?.files).toEqual([
      { path: 'a.txt', change: 'modified' },
      { path: 'd.txt', change: 'renamed', from: 'c.txt' },
      { path: 'new.txt', change: 'added' },
    ]);
    expect(result.results[1]?.files).toEqual([]);
    expect(target.git('for-each-ref')).toBe(before);
    expect(readFileSync(path.join(target.path, '.git/index')).equals(index)).toBe(true);
    expect(snapshots).toEqual([]);
    expect(traces(target)).toEqual(clean);
  });
});

describe('on_conflict leave', () => {
  it('leaves a merge to be resolved and committed, and does not try what comes after', async () => {
    const first = bed.fork(golden, `first-${String(tests)}`);
    first.commit('first work', { 'first.txt': '1\n' });
    source.commit('theirs', { 'a.txt': 'theirs\n' });
    target.commit('ours', { 'a.txt': 'ours\n' });
    const result = await merge(
      bed,
      target,
      { first, source, last: first },
      { strategy: 'branch-per-source', on_conflict: 'leave' },
    );
    expect(result.results.map(({ success }) => success)).toEqual([true, false, false]);
    expect(result.results[1]?.error).toContain('git add and git commit');
    expect(result.results[2]?.error).toContain('not tried');
    expect(result.rollback_snapshot).toBe('merge-1');
    expect(target.git('diff', '--name-only', '--diff-filter=U')).toBe('a.txt');
    target.write('a.txt', 'resolved\n');
    target.git('add', 'a.txt');
    target.git('commit', '--quiet', '-m', 'resolve: merge conflict in a.txt');
    expect(target.git('rev-parse', 'HEAD^2')).toBe(source.head());
    expect(traces(target)).toEqual(clean);
  });

  it('leaves a commit to be picked, and git goes on with those after it', async () => {
    source.commit('before', { 'before.txt': 'x\n' });
    source.commit('theirs', { 'a.txt': 'theirs\n' });
    source.commit('after', { 'after.txt': 'x\n' });
    target.commit('ours', { 'a.txt': 'ours\n' });
    const result = await merge(
      bed,
      target,
      { source },
      { strategy: 'sequential', on_conflict: 'leave' },
    );
    expect(result.results[0]).toMatchObject({ success: false, commits_applied: 1 });
    expect(target.git('diff', '--name-only', '--diff-filter=U')).toBe('a.txt');
    target.write('a.txt', 'resolved\n');
    target.git('add', 'a.txt');
    target.git('-c', 'core.editor=true', 'cherry-pick', '--continue');
    expect(target.subjects(4)).toEqual(['ours', 'before', 'theirs', 'after']);
    expect(traces(target)).toEqual(clean);
  });
});

describe('a merge that is interrupted', () => {
  it('leaves nothing behind, whichever command in the target fails', async () => {
    source.commit('work', { 'new.txt': 'new\n' });
    source.commit('more', { 'more.txt': 'more\n' });
    const conflicting = bed.fork(golden, `conflicting-${String(tests)}`);
    conflicting.commit('theirs', { 'a.txt': 'theirs\n' });
    target.commit('ours', { 'a.txt': 'ours\n' });
    const before = target.head();
    const options = { strategy: 'sequential', on_conflict: 'abort' } as const;
    let failAt = 0;
    let failed: boolean;
    do {
      failAt += 1;
      failed = false;
      let count = 0;
      const inTarget = (): void => {
        count += 1;
        if (count !== failAt) return;
        failed = true;
        throw new CoppiceError({ code: 'cancelled', message: 'cancelled here' });
      };
      const work = merge(bed, target, { source, conflicting }, { ...options, inTarget });
      const error: unknown = await work.then(
        () => undefined,
        (reason: unknown) => reason,
      );
      if (failed) expect(error).toBeInstanceOf(CoppiceError);
      expect(traces(target)).toEqual(clean);
      expect(traces(source)).toEqual(clean);
      if (!failed) expect(error).toBeUndefined();
      else if (target.head() !== before) target.git('reset', '--quiet', '--hard', before);
    } while (failed);
    expect(failAt).toBeGreaterThan(20);
    expect(target.subjects(3)).toEqual(['ours', 'work', 'more']);
  }, 120_000);

  it('is tidied up by the next one', async () => {
    const id = '11111111-2222-4333-8444-555555555555';
    for (const repository of [target, source]) {
      repository.git('update-ref', `refs/coppice/merge/${id}/0`, 'HEAD');
      const worktree = path.join(repository.path, `.git/coppice/${id}/coppice-${id}`);
      repository.git('worktree', 'add', '--quiet', '--detach', worktree);
    }
    rmSync(path.join(source.path, '.git/coppice'), { recursive: true });
    source.commit('work', { 'new.txt': 'new\n' });
    await merge(bed, target, { source });
    expect(traces(target)).toEqual(clean);
    expect(traces(source)).toMatchObject({ refs: '' });
  });
});
