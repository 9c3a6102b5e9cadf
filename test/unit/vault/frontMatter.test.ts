import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { deleteKey, setKey } from '../../../helper-daemon/vault/frontMatterEdit.ts';
import { readFrontMatter, splitNote } from '../../../helper-daemon/vault/frontMatter.ts';
import { failure, temporaryVault } from './temporaryVault.ts';

const bed = temporaryVault();

describe('reading', () => {
  it.each([
    ['no front matter', 'text\n---\nk: 1\n---\n', null, null],
    ['an end that is missing', '---\nk: 1\n', null, null],
    ['an empty block', '---\n---\nbody', {}, null],
    ['a block of comments', '---\n# only this\n---\n', {}, null],
    ['Windows line ends', '---\r\nk: 1\r\nl:\r\n  - a\r\n---\r\nbody', { k: 1, l: ['a'] }, null],
    ['a byte order mark', '\uFEFF---\nk: 1\n---\n', { k: 1 }, null],
    ['an end at the end of the file', '---\nk: 1\n---', { k: 1 }, null],
    ['a key from hell', '---\n__proto__: {x: 1}\n---\n', JSON.parse('{"__proto__":{"x":1}}'), null],
    [
      'dates and infinities',
      '---\nd: 2024-01-02\ni: .inf\n---\n',
      { d: '2024-01-02', i: null },
      null,
    ],
  ])('understands %s', async (_, text, data, problem) => {
    expect(await readFrontMatter(text)).toEqual({ data, problem });
  });

  it.each([
    ['broken YAML', '---\nk: [1\n---\n', /./],
    ['a list', '---\n- a\n---\n', 'not a mapping'],
    ['a key given twice', '---\nk: 1\nk: 2\n---\n', /unique/],
    ['too much of it', `---\nk: ${'x'.repeat(70_000)}\n---\n`, '65536'],
    [
      'aliases that explode',
      `---\na: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefgh'
        .split('')
        .map((name, at) => `${name}: &${name} [${`*${'abcdefg'[at] ?? ''},`.repeat(9)}]`)
        .join('\n')}\n---\n`,
      /alias/i,
    ],
  ])('reads %s as nothing and says why', async (_, text, problem) => {
    bed.put('n.md', text);
    const reply = await bed.vault.frontMatter('n.md');
    expect(reply.frontmatter).toBeNull();
    expect(reply.problem).toMatch(problem);
    expect((await bed.vault.read('n.md')).problem).toMatch(problem);
  });
});

describe('a front matter that cannot be read', () => {
  it.each(['---\nk: [1\n---\nbody', '---\n- a\n---\nbody'])('is never lost: %j', async (text) => {
    bed.put('n.md', text);
    const refused = failure('vault_error', 'left as it is');
    await expect(bed.vault.setFrontMatter('n.md', 'k', 1)).rejects.toMatchObject(refused);
    await expect(bed.vault.deleteFrontMatter('n.md', 'k')).rejects.toMatchObject(refused);
    await expect(bed.vault.addTag('n.md', 't')).rejects.toMatchObject(refused);
    await expect(bed.vault.removeTag('n.md', 't')).rejects.toMatchObject(refused);
    expect(bed.get('n.md')).toBe(text);
  });
});

const seed =
  '---\nstatus: pending\npriority: high\nassigned_to: coder\ndepends_on: []\n---\n# Implement feature X\n\nWrite it.';

describe('set', () => {
  it.each([
    ['changes one value', seed, 'status', 'completed', seed.replace('pending', 'completed')],
    [
      'keeps the comment beside it',
      '---\nk: 1 # why\nl: 2\n---\n',
      'k',
      5,
      '---\nk: 5 # why\nl: 2\n---\n',
    ],
    ['keeps quotes', '---\nk: "a"\n---\n', 'k', 'b', '---\nk: "b"\n---\n'],
    ['keeps odd spacing', '---\nk  :   1\nl:    2\n---\n', 'k', 3, '---\nk  :   3\nl:    2\n---\n'],
    [
      'fills a key without a value',
      '---\nk: # later\nl: 2\n---\n',
      'k',
      'v',
      '---\nk: v # later\nl: 2\n---\n',
    ],
    [
      'adds a key at the end',
      '---\nk: 1\n# end\n---\nb',
      'l',
      'x',
      '---\nk: 1\n# end\nl: x\n---\nb',
    ],
    ['adds the first key', '---\n---\nb', 'k', 1, '---\nk: 1\n---\nb'],
    ['makes front matter', 'body\n', 'k', { a: [1] }, '---\nk:\n  a:\n    - 1\n---\nbody\n'],
    ['makes it with the line ends of the note', 'b\r\nc', 'k', 'v', '---\r\nk: v\r\n---\r\nb\r\nc'],
    ['makes it after a byte order mark', '\uFEFFb', 'k', 1, '\uFEFF---\nk: 1\n---\nb'],
    [
      'keeps Windows line ends',
      '---\r\nk: 1\r\nl: 2\r\n---\r\nb\r\n',
      'k',
      [1],
      '---\r\nk:\r\n  - 1\r\nl: 2\r\n---\r\nb\r\n',
    ],
    [
      'replaces a list by a word',
      '---\nk:\n  - 1\n  # in it\n  - 2\n\n# of l\nl: 2\n---\n',
      'k',
      'w',
      '---\nk: w\n\n# of l\nl: 2\n---\n',
    ],
    [
      'replaces a block of text',
      '---\nk: |\n  one\n\n  two\n\nl: 2\n---\n',
      'k',
      'w',
      '---\nk: w\n\nl: 2\n---\n',
    ],
    [
      'keeps lists in brackets',
      '---\nk: [a, b] # c\n---\n',
      'k',
      ['x'],
      '---\nk: [ x ] # c\n---\n',
    ],
    ['changes a map in braces', '---\n{a: 1, b: 2}\n---\n', 'a', 3, '---\n{ a: 3, b: 2 }\n---\n'],
    [
      'quotes what would be read as something else',
      '---\nk: 1\n---\n',
      'k',
      'true',
      '---\nk: "true"\n---\n',
    ],
    [
      'keeps the indentation of the block',
      '---\n  k: 1\n---\n',
      'l',
      { m: 1 },
      '---\n  k: 1\n  l:\n    m: 1\n---\n',
    ],
    ['finds keys in quotes', '---\n"k": 1\n---\n', 'k', 2, '---\n"k": 2\n---\n'],
    ['writes null', '---\nk: 1\n---\n', 'k', null, '---\nk: null\n---\n'],
  ])('%s', async (_, text, key, value, expected) => {
    expect(await setKey(text, key, value)).toBe(expected);
  });

  it('is one version of the note, and none when nothing changes', async () => {
    await bed.vault.write('t.md', seed);
    const reply = await bed.vault.setFrontMatter('t.md', 'status', 'completed');
    expect(reply).toMatchObject({ changed: true, problem: null });
    expect(reply.frontmatter).toMatchObject({ status: 'completed', depends_on: [] });
    const again = await bed.vault.setFrontMatter('t.md', 'status', 'completed');
    expect(again.changed).toBe(false);
    expect((await bed.vault.history('t.md')).versions).toHaveLength(1);
  });

  it('refuses what would change other keys, such as the anchor of an alias', async () => {
    const text = '---\na: &x 1\nb: *x\n---\n';
    await expect(setKey(text, 'a', 2)).rejects.toMatchObject(failure('vault_error', 'others'));
    await expect(deleteKey(text, 'a')).rejects.toMatchObject(failure('vault_error', 'others'));
    expect(await setKey(text, 'b', 2)).toBe('---\na: &x 1\nb: 2\n---\n');
  });

  it('takes values with --- in them', async () => {
    const text = await setKey('---\nk: 1\n---\nbody', 'k', 'a\n---\nb');
    expect(await readFrontMatter(text)).toEqual({ data: { k: 'a\n---\nb' }, problem: null });
    expect(splitNote(text).body).toBe('body');
  });
});

describe('delete', () => {
  it.each([
    [
      'takes the lines of a key',
      '---\na: 1\nk:\n  - x\nb: 2\n---\nbody',
      'k',
      '---\na: 1\nb: 2\n---\nbody',
    ],
    ['takes the block with the last key', '---\nk: 1\n---\n\nbody', 'k', '\nbody'],
    ['keeps comments', '---\n# mine\nk: 1\n---\nb', 'k', '---\n# mine\n---\nb'],
    ['leaves a note without the key', '---\na: 1\n---\nb', 'k', '---\na: 1\n---\nb'],
    ['leaves a note without front matter', 'body', 'k', 'body'],
    ['keeps Windows line ends', '---\r\na: 1\r\nk: 2\r\n---\r\nb', 'k', '---\r\na: 1\r\n---\r\nb'],
    ['works in braces', '---\n{a: 1, k: 2}\n---\n', 'k', '---\n{ a: 1 }\n---\n'],
  ])('%s', async (_, text, key, expected) => {
    expect(await deleteKey(text, key)).toBe(expected);
  });
});

/** One key as people write it: its lines say all about it. */
const value = fc.oneof(
  fc.constantFrom(
    'plain',
    'two words',
    '3',
    'true',
    '',
    '"quoted: yes"',
    "'it''s'",
    '2024-01-01',
    '~',
  ),
  fc.constantFrom('[a, b]', '[]', '{x: 1}', '[a, # why\n  b]'),
  fc.constantFrom('\n  - a\n  - b # c', '\n- flush\n- left', '\n  x: 1\n  # inside\n  y: [2]'),
  fc.constantFrom('|\n  one\n\n  two', '>-\n  folded\n  text', '|+\n  keep\n'),
  fc.constantFrom('plain # comment', '# no value', '"a" # b'),
);
const anyJson = fc.oneof(
  fc.string(),
  fc.integer(),
  fc.boolean(),
  fc.constant(null),
  fc.array(fc.string(), { maxLength: 3 }),
  fc.dictionary(fc.string({ minLength: 1 }), fc.oneof(fc.string(), fc.integer()), { maxKeys: 3 }),
  fc.constantFrom('---', 'a: b', '- x', '#', 'x\n---\ny', '\t', ' lead', 'trail ', 'a\r\nb'),
);
const note = fc.record({
  pairs: fc.array(value, { minLength: 1, maxLength: 5 }),
  comments: fc.array(fc.constantFrom('', '# a comment\n', '\n', '# two\n\n'), {
    minLength: 6,
    maxLength: 6,
  }),
  body: fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('# T\n\ntext\n', '---\n', '\n---\nk: 1\n'),
  ),
  windows: fc.boolean(),
  target: fc.nat(6),
});

/** The text of a note, and the text of each of its keys. */
function written(made: typeof note extends fc.Arbitrary<infer T> ? T : never): {
  text: string;
  keys: Map<string, string>;
  body: string;
} {
  const eol = (text: string): string => (made.windows ? text.replaceAll('\n', '\r\n') : text);
  const keys = new Map<string, string>();
  let block = '';
  for (const [index, spelled] of made.pairs.entries()) {
    const key = `key${String(index)}`;
    const gap = spelled === '' || spelled.startsWith('\n') ? '' : ' ';
    const lines = eol(`${key}:${gap}${spelled}\n`);
    keys.set(key, lines);
    block += eol(made.comments[index] ?? '') + lines;
  }
  block += eol(made.comments[5] ?? '');
  return { text: `${eol('---\n')}${block}${eol('---\n')}${made.body}`, keys, body: made.body };
}

describe('any change of any key', () => {
  it('leaves the body, the lines of all other keys and their values as they are', async () => {
    await fc.assert(
      fc.asyncProperty(note, anyJson, fc.boolean(), async (made, wanted, remove) => {
        const { text, keys, body } = written(made);
        const before = await readFrontMatter(text);
        fc.pre(before.problem === null);
        const target = `key${String(made.target)}`;
        const after = remove ? await deleteKey(text, target) : await setKey(text, target, wanted);
        const { data } = await readFrontMatter(after);
        const gone = remove && keys.has(target) && keys.size === 1;
        if (!gone || data !== null) expect(splitNote(after).body).toBe(body);
        expect(after.endsWith(body)).toBe(true);
        for (const [key, lines] of keys) {
          if (key === target) continue;
          expect(after).toContain(lines);
          expect(data?.[key]).toEqual(before.data?.[key]);
        }
        if (remove) expect(Object.hasOwn(data ?? {}, target)).toBe(false);
        else expect(data?.[target]).toEqual(wanted);
      }),
      { numRuns: 300 },
    );
  });

  it('writes what the library reads as the same value', async () => {
    await fc.assert(
      fc.asyncProperty(anyJson, async (wanted) => {
        const { block } = splitNote(await setKey('body', 'k', wanted));
        expect(parse(block ?? '')).toEqual(parse(stringify({ k: wanted })));
      }),
      { numRuns: 100 },
    );
  });
});
