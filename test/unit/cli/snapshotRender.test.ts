import { describe, expect, it } from 'vitest';
import { outcomeOf } from '../../../helper-daemon/cli/projection/outcomes.ts';
import { forkComplaint, renderForked } from '../../../helper-daemon/cli/render/fork.ts';
import {
  renderCreated,
  renderRenamed,
  renderRestored,
} from '../../../helper-daemon/cli/render/snapshot.ts';
import { renderDiff } from '../../../helper-daemon/cli/render/snapshotDiff.ts';
import type { PathChange } from '../../../protocol/operations/snapshotModel.ts';
import { fork, idOf, machine, rendering, snapshot, tree } from './sampleOutputs.ts';

const change = (
  path: string,
  what: PathChange['change'],
  kind: PathChange['kind'],
  size_before: number | null,
  size_after: number | null,
): PathChange => ({ path, change: what, kind, size_before, size_after });

describe('a diff', () => {
  const diff = (changes: readonly PathChange[], truncated = false) => ({
    from: 's1',
    to: 'head',
    changes: [...changes],
    truncated,
  });

  it('has a letter, a size and a path per line, and says what it comes to', () => {
    const text = renderDiff(
      diff([
        change('/etc/hosts', 'modified', 'file', 1000, 1210),
        change('/etc/motd', 'metadata', 'file', 20, 20),
        change('/lib', 'type_changed', 'symlink', null, 7),
        change('/srv/data', 'added', 'dir', null, 4096),
        change('/srv/data/a\u001b[2Jb', 'added', 'file', null, 4096),
        change('/usr/bin/vi', 'removed', 'file', 3 * 1024 * 1024, null),
      ]),
      rendering(),
    );
    expect(text).toBe(
      [
        'M  +210 B  /etc/hosts',
        'm     0 B  /etc/motd',
        'T    +7 B  /lib',
        'A          /srv/data/',
        'A  +4 KiB  /srv/data/a\\x1b[2Jb',
        'D  -3 MiB  /usr/bin/vi',
        '',
        '6 changes from s1 to now: 2 added, 1 modified, 1 removed, 1 of another type, 1 with other metadata only; -3 MiB.',
      ].join('\n'),
    );
  });

  it('says when there is none, and when there are more', () => {
    expect(renderDiff(diff([]), rendering())).toBe('There is no difference between s1 and now.');
    expect(renderDiff(diff([change('/a', 'added', 'file', null, 1)], true), rendering())).toMatch(
      /1 change from s1 to now: 1 added; \+1 B\.\nThere are more changes/,
    );
  });
});

describe('a fork', () => {
  it('is a table of the copies with the time each took', () => {
    expect(renderForked(fork(['web-1', 'web-2']), rendering())).toBe(
      [
        'NAME   STATE    READY AFTER  ID',
        'web-1  running       120 ms  00000000',
        'web-2  running       121 ms  00000000',
        '',
        '2 copies of web; its programs go on in each. web stood still for 35 ms.',
        'coppice shell web-1',
      ].join('\n'),
    );
    expect(forkComplaint(fork(['web-1']))).toBeUndefined();
  });

  it('of a snapshot names it', () => {
    const made = fork(['a'], [], { live: false, pause_ms: null, snapshot_name: 's1' });
    expect(renderForked(made, rendering({ input: { snapshot_name: 's1' } }))).toContain(
      '\n1 copy of web at s1; booted from its disk.\n',
    );
  });

  it('that made only some says which are missing, why, and how to get them', () => {
    const partly = fork(['web-1'], ['web-2']);
    expect(outcomeOf('workspace_fork', partly)).toEqual({
      exitCode: 75,
      complaint: [
        'web-2: There are only 120 MiB left. (no_memory)',
        '1 of 2 copies could not be made; for those that are missing: coppice fork web web-2 --snapshot fork-1',
      ].join('\n'),
    });
  });

  it('that made none has exit code 1 and no table', () => {
    const none = fork([], ['web-1', 'web-2']);
    expect(outcomeOf('workspace_fork', none)).toMatchObject({
      exitCode: 1,
      complaint: expect.stringMatching(
        /2 of 2 copies could not be made; when that is solved, fork web again\.$/,
      ) as string,
    });
    expect(renderForked(none, rendering())).toBe('');
  });
});

describe('a restore', () => {
  const restored = {
    ...machine('demo', { snapshot: 's1' }),
    snapshot_id: idOf('s1'),
    snapshot_name: 's1',
    resumed: true,
    saved_as: null,
  };
  const before = tree([snapshot('s1', null), snapshot('s2', 's1')], 's2');

  it('says what was given up and how it could have been kept', () => {
    expect(renderRestored(restored, rendering({ tree: before }))).toBe(
      'Restored demo to s1 (continues from memory). Changes since s2 were given up; use --save-as to keep them.',
    );
  });

  it('gave up everything where there was no snapshot to stand on', () => {
    const text = renderRestored(
      { ...restored, resumed: false },
      rendering({ tree: tree(before.snapshots, null) }),
    );
    expect(text).toBe(
      'Restored demo to s1 (booted from the disk). What had no snapshot was given up; use --save-as to keep it.',
    );
  });

  it('gave nothing up where the state before was saved', () => {
    const stopped = { ...restored, state: 'stopped' as const, saved_as: 'mine' };
    expect(renderRestored(stopped, rendering({ tree: before }))).toBe(
      'Restored demo to s1; it is stopped. The state before is snapshot mine.',
    );
  });
});

describe('a new snapshot', () => {
  const made = (consistency: 'memory' | 'filesystem' | 'crash', pause_ms: number) =>
    renderCreated(
      { ...snapshot('s1', null), consistency, pause_ms },
      rendering({ input: { workspace_id: 'demo' } }),
    ).split('\n');

  it('tells what it holds and how long programs stood still', () => {
    expect(made('memory', 38.2)[0]).toBe(
      'Snapshot s1 of demo: 2 MiB, with memory. Its programs stood still for 38 ms.',
    );
    expect(made('filesystem', 0)).toEqual([
      'Snapshot s1 of demo: 2 MiB, disk only.',
      'coppice snapshot restore demo s1',
    ]);
  });

  it('warns when the machine did not answer', () => {
    expect(made('crash', 0)[1]).toBe(
      'The machine did not answer: its files are as after a power cut.',
    );
  });

  it('ends its description with one full stop', () => {
    const renamed = (description: string): string =>
      renderRenamed(
        snapshot('s1', null, { description }),
        rendering({ input: { workspace_id: 'demo' } }),
      );
    expect(renamed('')).toBe('Snapshot s1 of demo.');
    expect(renamed('tests pass')).toBe('Snapshot s1 of demo: tests pass.');
    expect(renamed('Tests pass.')).toBe('Snapshot s1 of demo: Tests pass.');
  });
});
