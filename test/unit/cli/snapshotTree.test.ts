import { describe, expect, it } from 'vitest';
import { treeRows } from '../../../helper-daemon/cli/render/snapshotForest.ts';
import { renderTree } from '../../../helper-daemon/cli/render/snapshotTree.ts';
import { asciiGlyphs, glyphsFor, unicodeGlyphs } from '../../../helper-daemon/cli/text/glyphs.ts';
import { displayWidth } from '../../../helper-daemon/cli/text/style.ts';
import { idOf, rendering, snapshot, tree } from './sampleOutputs.ts';

const branched = tree(
  [
    snapshot('base', null, { used_bytes: 120 * 1024 * 1024, has_memory: true }),
    snapshot('setup', 'base', { forks: ['web-10', 'web-2'] }),
    snapshot('try-a', 'setup', { description: 'first\nidea' }),
    snapshot('try-a2', 'try-a', { forks: ['other'] }),
    snapshot('try-b', 'setup', { used_bytes: 300 }),
    snapshot('fork-20260102', 'try-b', { implicit: true, has_memory: true, forks: ['web-3'] }),
  ],
  'try-b',
);

describe('the tree of snapshots', () => {
  it('keeps the way to the present state straight and indents what branches off', () => {
    expect(renderTree(branched, rendering())).toBe(
      [
        '◇ demo',
        '○ base             1 h  120 MiB  memory',
        '○ setup            1 h    2 MiB',
        '├─→ web-2 (fork)',
        '├─→ web-10 (fork)',
        '├─○ try-a          1 h    2 MiB  first\\nidea',
        '│ ○ try-a2         1 h    2 MiB',
        '│ └─→ other (fork)',
        '● try-b            1 h    300 B',
        '├─○ fork-20260102  1 h    2 MiB  memory  implicit',
        '│ └─→ web-3 (fork)',
        '● now, 3.2 MiB changed',
      ].join('\n'),
    );
  });

  it('puts the present state on a branch of its own after a restore to an older snapshot', () => {
    const list = tree([snapshot('s1', null), snapshot('s2', 's1'), snapshot('s3', 's2')], 's1', {
      head_bytes: 0,
    });
    expect(
      renderTree(list, rendering())
        .split('\n')
        .map((line) => line.split('  ')[0]),
    ).toEqual(['◇ demo', '● s1', '├─○ s2', '│ ○ s3', '● now, nothing changed']);
  });

  it('starts several roots from the machine itself and says what it is a fork of', () => {
    const list = tree([snapshot('a', null), snapshot('b', null)], null, {
      forked_from: {
        source_workspace_id: idOf('web'),
        source_workspace_name: 'web',
        snapshot_id: idOf('s1'),
        snapshot_name: 's1',
        live: true,
        forked_at: '2026-01-01T00:00:00Z',
      },
    });
    expect(renderTree(list, rendering({ glyphs: asciiGlyphs }))).toBe(
      [
        '+ demo  fork of web at s1, with memory',
        '|-o a  1 h  2 MiB',
        '|-o b  1 h  2 MiB',
        '* now, 3.2 MiB changed',
      ].join('\n'),
    );
  });

  it('says how to make the first one', () => {
    expect(renderTree(tree([], null), rendering())).toBe(
      'demo has no snapshots yet. coppice snapshot create demo makes one.',
    );
  });

  it('does not indent a line of 1000 snapshots', () => {
    const names = Array.from({ length: 1000 }, (_, index) => `s${String(index)}`);
    const list = tree(
      names.map((name, index) => snapshot(name, names[index - 1] ?? null)),
      's999',
    );
    const rows = treeRows(list, unicodeGlyphs);
    expect(rows).toHaveLength(1002);
    expect(rows.every(({ rails }) => rails === '')).toBe(true);
  });

  it('needs few columns for any shape, and shows every snapshot below its parent', () => {
    let seed = 7;
    const random = (below: number): number => {
      seed = (seed * 1103515245 + 12345) % 2 ** 31;
      return Math.floor((seed / 2 ** 31) * below);
    };
    for (let round = 0; round < 20; round += 1) {
      // From bushes to long lines: a parent is one of the last few.
      const reach = 1 + random(50);
      const names = Array.from({ length: 300 }, (_, index) => `s${String(index)}`);
      const list = tree(
        names.map((name, index) =>
          snapshot(
            name,
            index === 0 ? null : (names[index - 1 - random(Math.min(reach, index))] ?? null),
          ),
        ),
        names[random(300)] ?? null,
      );
      const rows = treeRows(list, unicodeGlyphs);
      const seen = new Map<string, number>();
      for (const [index, { rails, item }] of rows.entries()) {
        expect(displayWidth(rails)).toBeLessThanOrEqual(2 * 10);
        if (item.kind !== 'snapshot') continue;
        const { parent, snapshot_id } = item.snapshot;
        if (parent !== null) expect(seen.get(parent)).toBeLessThan(index);
        seen.set(snapshot_id, index);
      }
      expect(seen.size).toBe(300);
    }
  });

  it('fits a narrow terminal, cuts names first at half of it, and never half a character', () => {
    const long = tree(
      [
        snapshot('a-very-long-name-of-a-snapshot-indeed', null, {
          description: '日本語の説明'.repeat(9),
        }),
        snapshot('b', 'a-very-long-name-of-a-snapshot-indeed', { has_memory: true }),
      ],
      'b',
    );
    expect(renderTree(long, rendering({ width: 40 }))).toBe(
      [
        '◇ demo',
        '○ a-very-long-name-…  1 h  2 MiB  日本…',
        '● b                   1 h  2 MiB  memory',
        '● now, 3.2 MiB changed',
      ].join('\n'),
    );
    for (let width = 1; width < 120; width += 1) {
      for (const line of renderTree(long, rendering({ width })).split('\n')) {
        expect(displayWidth(line)).toBeLessThanOrEqual(width);
      }
    }
  });

  it('cuts nothing where there is no terminal', () => {
    const text = 'x'.repeat(1000);
    const list = tree([snapshot('a', null, { description: text })], 'a');
    expect(renderTree(list, rendering())).toContain(text);
  });
});

describe('box characters', () => {
  it.each([
    [{ LANG: 'en_US.UTF-8' }, unicodeGlyphs],
    [{ LANG: 'C.utf8' }, unicodeGlyphs],
    [{ LANG: 'en_US.UTF-8', LC_ALL: 'C' }, asciiGlyphs],
    [{ LANG: 'de_DE.ISO-8859-1', LC_CTYPE: 'C.UTF-8' }, unicodeGlyphs],
    [{ LC_ALL: '', LANG: 'C' }, asciiGlyphs],
    [{}, asciiGlyphs],
  ])('with %j', (env, expected) => {
    expect(glyphsFor(env)).toBe(expected);
  });
});
