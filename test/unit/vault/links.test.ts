import { describe, expect, it } from 'vitest';
import { linkResolver, linksOf } from '../../../helper-daemon/vault/links.ts';
import { temporaryVault } from './temporaryVault.ts';

const bed = temporaryVault();

describe('links', () => {
  it('are read in all their forms', () => {
    const text = [
      '---',
      'k: "[[not]]"',
      '---',
      '[[Note]] ![[dir/Note#Part|the alias]] [[a\\|b]]',
      '[text](other.md) [t](<my note.md#x>) ![i](img.png "title") [p](a(b).md)',
      '`[[code]]` [out](https://example.org/a.md) [mail](mailto:x@y) [here](#part) [[#part]]',
      '```',
      '[[fenced]]',
      '```',
      '[esc](with%20space.md)',
    ].join('\n');
    expect(
      linksOf(text).map(({ target, alias, heading, line }) => [target, alias, heading, line]),
    ).toEqual([
      ['Note', null, null, 4],
      ['dir/Note#Part', 'the alias', 'Part', 4],
      ['a', 'b', null, 4],
      ['other.md', 'text', null, 5],
      ['my note.md#x', 't', 'x', 5],
      ['img.png', 'i', null, 5],
      ['a(b).md', 'p', null, 5],
      ['with%20space.md', 'esc', null, 10],
    ]);
  });

  it('are read in time, however the text is made', () => {
    const texts = ['[', '[[', '[a](', '[a](b "', '](', '[a](b(', '`', '[[a|'];
    for (const text of texts) expect(linksOf(text.repeat(2000)).length).toBeLessThan(2001);
  });
});

describe('a link leads', () => {
  const paths = [
    'top.md',
    'x/note.md',
    'x/y/note.md',
    'z/note.md',
    'v1.2.md',
    'pic.png',
    'x/a b.md',
  ];
  const resolve = linkResolver(paths);
  const to = (from: string, text: string): string | null => {
    const [link] = linksOf(text);
    return link === undefined ? null : resolve(from, link);
  };

  it.each([
    ['by name to the note beside it', 'z/from.md', '[[Note]]', 'z/note.md'],
    ['by name to the note nearest to the top', 'top.md', '[[note]]', 'x/note.md'],
    ['by a part of the path', 'top.md', '[[y/note.md]]', 'x/y/note.md'],
    ['by the whole path', 'z/from.md', '[[x/note]]', 'x/note.md'],
    ['to names with dots', 'top.md', '[[v1.2]]', 'v1.2.md'],
    ['to other files', 'top.md', '![[pic.png]]', 'pic.png'],
    ['from the folder of its note', 'x/from.md', '[t](note.md)', 'x/note.md'],
    ['up the tree', 'x/y/from.md', '[t](../note.md#h)', 'x/note.md'],
    ['from the top', 'x/y/from.md', '[t](/z/note)', 'z/note.md'],
    ['to names with spaces', 'x/from.md', '[t](a%20b.md)', 'x/a b.md'],
    ['nowhere else by path', 'top.md', '[t](note.md)', null],
    ['not out of the vault', 'top.md', '[t](../top.md)', null],
    ['nowhere without a note', 'top.md', '[[none]]', null],
  ])('%s', (_, from, text, expected) => {
    expect(to(from, text)).toBe(expected);
  });
});

describe('vault_links', () => {
  it('shows both directions, also after an edit on disk', async () => {
    bed.put('hub.md', 'see [[spoke]] and [gone](none.md)\n');
    bed.put('dir/spoke.md', 'x\nback to [[hub|the hub]] and [[hub]]\n');
    bed.put('dir/other.md', '[up](../hub.md)\n');
    bed.put('dir/namesake/hub.md', '[[spoke]]\n');
    const hub = await bed.vault.links('hub.md');
    expect(hub.links).toEqual([
      { target: 'spoke', path: 'dir/spoke.md', heading: null, alias: null, line_number: 1 },
      { target: 'none.md', path: null, heading: null, alias: 'gone', line_number: 1 },
    ]);
    expect(hub.backlinks).toEqual([
      { path: 'dir/other.md', line_number: 1, line: '[up](../hub.md)' },
      { path: 'dir/spoke.md', line_number: 2, line: 'back to [[hub|the hub]] and [[hub]]' },
    ]);
    bed.put('dir/other.md', 'nothing any more, and longer\n');
    bed.put('new.md', '[[HUB]]');
    const again = await bed.vault.links('hub.md');
    expect(again.backlinks.map(({ path }) => path)).toEqual(['dir/spoke.md', 'new.md']);
  });

  it('stays within a scope', async () => {
    bed.put('outer.md', '[[inner]]');
    bed.put('teams/a/inner.md', '[[outer]] [[sub]]');
    bed.put('teams/a/sub.md', '[[inner]]');
    const { links, backlinks } = await bed.vault.scoped('teams/a').links('inner.md');
    expect(links.map(({ path }) => path)).toEqual([null, 'sub.md']);
    expect(backlinks.map(({ path }) => path)).toEqual(['sub.md']);
  });
});
