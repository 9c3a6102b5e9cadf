import { describe, expect, it } from 'vitest';
import { addTag, removeTag, tagsOf } from '../../../helper-daemon/vault/tags.ts';
import { failure, temporaryVault } from './temporaryVault.ts';

const bed = temporaryVault();

describe('the tags of a note', () => {
  it('are those of the front matter and those in the text, each once', async () => {
    const text = '---\ntags: [one, "#two", 3]\n---\n#three (#four/sub) and #one\n#five';
    expect(await tagsOf(text)).toEqual(['one', 'two', 'three', 'four/sub', 'five']);
  });

  it.each([
    ['headings and words with # in them', '# Title\nC# a#b ##c #1 issue#2'],
    ['fences', '```\n#a\n```\n~~~~ sh\n#b\n```\n~~~\n#c\n~~~~\n'],
    ['a fence without an end', 'x\n```\n#a\n'],
    ['code in the text', 'run `#a` and ``x` #b ``'],
    ['front matter that is no list of tags', '---\ntags: one\n---\n'],
  ])('are not in %s', async (_, text) => {
    expect(await tagsOf(text)).toEqual([]);
  });

  it('begin after a fence again', async () => {
    expect(await tagsOf('```\r\n#a\r\n```\r\n#b\r\n')).toEqual(['b']);
  });
});

describe('add', () => {
  it.each([
    ['makes front matter', 'body', '---\ntags:\n  - new\n---\nbody'],
    ['makes the list', '---\nk: 1\n---\n', '---\nk: 1\ntags:\n  - new\n---\n'],
    ['fills an empty key', '---\ntags:\nk: 1\n---\n', '---\ntags:\n  - new\nk: 1\n---\n'],
    [
      'adds a line',
      '---\ntags:\n- a # x\n# y\nk: 1\n---\n',
      '---\ntags:\n- a # x\n- new\n# y\nk: 1\n---\n',
    ],
    ['adds to brackets', '---\ntags: [a, b] # x\n---\n', '---\ntags: [a, b, new] # x\n---\n'],
    ['fills empty brackets', '---\ntags: []\n---\n', '---\ntags: [ new ]\n---\n'],
    [
      'keeps Windows line ends',
      '---\r\ntags:\r\n  - a\r\n---\r\n',
      '---\r\ntags:\r\n  - a\r\n  - new\r\n---\r\n',
    ],
    ['leaves a tag that is there', '---\ntags: ["#new"]\n---\n', '---\ntags: ["#new"]\n---\n'],
  ])('%s', async (_, text, expected) => {
    expect(await addTag(text, 'new')).toBe(expected);
  });

  it('quotes what would be something else', async () => {
    const text = await addTag(await addTag('---\ntags: [a]\n---\n', '2024'), '{x]');
    expect(await tagsOf(text)).toEqual(['a', '2024', '{x]']);
  });

  it('refuses when tags is not a list, and says what it is', async () => {
    bed.put('n.md', '---\ntags: one\n---\n');
    await expect(bed.vault.addTag('n.md', 'two')).rejects.toMatchObject(
      failure('vault_error', 'the string "one", not a list'),
    );
    expect(bed.get('n.md')).toBe('---\ntags: one\n---\n');
  });
});

describe('remove', () => {
  it.each([
    [
      'takes the line',
      '---\ntags:\n  - a\n  - old # x\n  - b\nk: 1\n---\n',
      '---\ntags:\n  - a\n  - b\nk: 1\n---\n',
    ],
    ['takes it from brackets', '---\ntags: [a, old]\nk: 1\n---\n', '---\ntags: [ a ]\nk: 1\n---\n'],
    ['leaves an empty list', '---\ntags:\n  - old\n---\n', '---\ntags: []\n---\n'],
    [
      'takes it wherever it is',
      '---\ntags:\n- old\n- a\n- "#old"\n---\n',
      '---\ntags:\n- a\n---\n',
    ],
    ['leaves a note without it', '---\ntags: [a]\n---\n', '---\ntags: [a]\n---\n'],
  ])('%s', async (_, text, expected) => {
    expect(await removeTag(text, 'old')).toBe(expected);
  });

  it('says where a tag is that it does not take out', async () => {
    await expect(removeTag('---\nk: 1\n---\na\nb #old\n', 'old')).rejects.toMatchObject(
      failure('vault_error', 'line 5'),
    );
  });
});

it('says what the tags are after a change, and whether there was one', async () => {
  await bed.vault.write('n.md', '#inline\n');
  expect(await bed.vault.addTag('n.md', '#new')).toEqual({
    path: 'n.md',
    tags: ['new', 'inline'],
    changed: true,
  });
  expect(await bed.vault.addTag('n.md', 'new')).toMatchObject({ changed: false });
  expect(await bed.vault.removeTag('n.md', 'new')).toMatchObject({
    tags: ['inline'],
    changed: true,
  });
  expect(await bed.vault.tags('n.md')).toMatchObject({ tags: ['inline'] });
});
