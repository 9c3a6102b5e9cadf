/** Strategy by kind of history by conflict, on real git; the target is clean after each. */
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { mergeStrategies } from '../../../protocol/operations/merge.ts';
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

const numbers = (from: number, to: number): string =>
  Array.from({ length: to - from + 1 }, (_, index) => `${String(from + index)}\n`).join('');

const latin = Buffer.from([0x63, 0x61, 0x66, 0xe9]);
const binary = (seed: number): Buffer =>
  Buffer.from(Array.from({ length: 200_000 }, (_, index) => (index * seed + (index >> 8)) & 0xff));

beforeAll(() => {
  bed = repositoryBed();
  golden = bed.create('golden repo');
  for (let index = 0; index < 5; index += 1) {
    golden.commit(`base ${String(index)}`, { [`base${String(index)}`]: `${String(index)}\n` });
  }
  golden.commit('base', {
    'numbers.txt': numbers(1, 60),
    'image.bin': binary(3),
    'old/name.txt': numbers(1, 40),
    'mode.sh': '#!/bin/sh\n',
  });
});

afterAll(() => bed.dispose());

beforeEach(() => {
  tests += 1;
  target = bed.fork(golden, `target ${String(tests)}`);
  source = bed.fork(golden, `source ${String(tests)}`);
});

interface History {
  readonly kind: string;
  /** Commits beyond the base; as many as are applied by picking and by merging. */
  readonly make: (source: TestRepository) => void;
  readonly picked: number;
  readonly merged: number;
  readonly check: (target: TestRepository) => void;
}

const histories: readonly History[] = [
  {
    kind: 'one commit',
    make: (source) => source.commit('one', { 'one.txt': 'one\n' }),
    picked: 1,
    merged: 1,
    check: (repository) => expect(repository.git('show', 'HEAD:one.txt')).toBe('one'),
  },
  {
    kind: 'many commits',
    make(source) {
      for (let index = 0; index < 30; index += 1) {
        source.commit(`step ${String(index)}`, { 'steps.txt': numbers(0, index) });
      }
    },
    picked: 30,
    merged: 30,
    check: (repository) =>
      expect(repository.gitBytes('show', 'HEAD:steps.txt').toString()).toBe(numbers(0, 29)),
  },
  {
    kind: 'a merge commit with work of its own',
    make(source) {
      source.git('switch', '--quiet', '-c', 'side');
      source.commit('side 1', { 'side.txt': 'side\n' });
      source.commit('side 2', { 'numbers.txt': numbers(1, 60).replace('\n5\n', '\nside\n') });
      source.git('switch', '--quiet', 'main');
      source.commit('main 1', { 'numbers.txt': numbers(1, 60).replace('\n5\n', '\nmain\n') });
      expect(() => source.git('merge', '--no-ff', 'side')).toThrow();
      source.write('numbers.txt', numbers(1, 60).replace('\n5\n', '\nboth\n'));
      source.commit('resolved by hand');
      source.commit('main 2', { 'after.txt': 'after\n' });
    },
    picked: 3,
    merged: 5,
    check(repository) {
      expect(repository.git('show', 'HEAD:numbers.txt')).toContain('\nboth\n');
      expect(repository.git('show', 'HEAD:side.txt')).toBe('side');
      expect(repository.git('show', 'HEAD:after.txt')).toBe('after');
    },
  },
  {
    kind: 'binary files',
    make: (source) => source.commit('binary', { 'image.bin': binary(7), 'new.bin': binary(11) }),
    picked: 1,
    merged: 1,
    check(repository) {
      expect(repository.gitBytes('show', 'HEAD:image.bin').equals(binary(7))).toBe(true);
      expect(repository.gitBytes('show', 'HEAD:new.bin').equals(binary(11))).toBe(true);
    },
  },
  {
    kind: 'a rename, a mode and a deletion',
    make(source) {
      source.git('mv', 'old', 'renamed');
      source.git('update-index', '--chmod=+x', 'mode.sh');
      source.git('commit', '--quiet', '-m', 'renamed');
      source.git('rm', '--quiet', 'base3');
      source.git('commit', '--quiet', '-m', 'removed');
    },
    picked: 2,
    merged: 2,
    check(repository) {
      const tree = repository.git('ls-tree', '-r', 'HEAD');
      expect(tree).toContain('renamed/name.txt');
      expect(tree).not.toContain('old/name.txt');
      expect(tree).not.toContain('base3');
      expect(tree).toMatch(/^100755 .*mode\.sh$/m);
    },
  },
  {
    kind: 'paths, contents and messages that are not UTF-8',
    make(source) {
      source.write(latin, Buffer.concat([latin, Buffer.from('\n')]));
      source.write('message', latin);
      source.git('add', '--all', ':!message');
      source.git('-c', 'i18n.commitEncoding=ISO-8859-1', 'commit', '--quiet', '-F', 'message');
      source.git('clean', '--quiet', '-f');
      source.commit('an empty one');
    },
    picked: 2,
    merged: 2,
    check(repository) {
      const bytes = repository.gitBytes('ls-tree', '-z', '--name-only', 'HEAD');
      expect(bytes.includes(Buffer.concat([latin, Buffer.from('\0')]))).toBe(true);
      const messages = repository.gitBytes('log', '--encoding=ISO-8859-1', '--format=%s');
      expect(messages.includes(latin)).toBe(true);
      expect(messages.toString()).toContain('an empty one');
    },
  },
];

describe.each(mergeStrategies)('workspace_merge with %s', (strategy) => {
  describe.each(histories)('of $kind', ({ make, picked, merged, check }) => {
    it('brings it into a target that stood still', async () => {
      make(source);
      const before = target.head();
      const snapshots: string[] = [];
      const result = await merge(bed, target, { feature: source }, { strategy, snapshots });
      expect(result.conflicts).toEqual([]);
      expect(result).toMatchObject({
        success: true,
        merged_sources: ['feature'],
        total_commits_applied: merged,
        rollback_snapshot: 'merge-1',
        target_head_before: before,
        target_head_after: target.head(),
      });
      expect(snapshots).toEqual([before]);
      check(target);
      expect(traces(target)).toEqual(clean);
      expect(traces(source)).toEqual({ ...clean, status: traces(source)['status'] });
    });

    it('brings it into a target that went on meanwhile', async () => {
      make(source);
      target.commit('meanwhile', { 'meanwhile.txt': 'here\n' });
      const result = await merge(bed, target, { feature: source }, { strategy });
      expect(result.conflicts).toEqual([]);
      expect(result.total_commits_applied).toBe(strategy === 'branch-per-source' ? merged : picked);
      check(target);
      expect(target.git('show', 'HEAD:meanwhile.txt')).toBe('here');
      expect(target.git('rev-parse', '--abbrev-ref', 'HEAD')).toBe('main');
      expect(traces(target)).toEqual(clean);
    });

    it('leaves the target as it was where it conflicts, and takes the next source', async () => {
      const other = bed.fork(golden, `other ${String(tests)}`);
      // At the end, so that cherry-pick has applied everything before it.
      make(source);
      source.commit('conflict', { base1: 'theirs\n' });
      other.commit('other', { 'other.txt': 'other\n' });
      target.commit('ours', { base1: 'ours\n' });
      const result = await merge(bed, target, { feature: source, other }, { strategy });
      const kept = strategy === 'cherry-pick' ? picked : 0;
      expect(result).toMatchObject({
        success: false,
        merged_sources: ['other'],
        total_commits_applied: kept + 1,
        conflicts: [{ source_id: 'feature', files: ['base1'] }],
        results: [
          { source_id: 'feature', success: false, commits_applied: kept, conflicted: ['base1'] },
          { source_id: 'other', success: true, commits_applied: 1, error: null },
        ],
      });
      expect(result.conflicts[0]?.error).toContain('merge conflict in base1');
      expect(target.git('show', 'HEAD:base1')).toBe('ours');
      expect(target.git('show', 'HEAD:other.txt')).toBe('other');
      if (kept > 0) check(target);
      expect(traces(target)).toEqual(clean);
      const branches = target.git('branch', '--list', '--format=%(refname:short)').split('\n');
      if (strategy === 'branch-per-source') {
        expect(branches).toEqual(['main', 'merge/feature']);
        expect(target.git('rev-parse', 'merge/feature')).toBe(source.head());
        expect(result.results[0]?.branch).toBe('merge/feature');
      } else {
        expect(branches).toEqual(['main']);
      }
    });
  });
});
