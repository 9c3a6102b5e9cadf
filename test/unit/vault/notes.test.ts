import { chmodSync, existsSync, mkdirSync, readdirSync, statSync, utimesSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { vaultLimits } from '../../../protocol/operations/vault.ts';
import { failure, temporaryVault } from './temporaryVault.ts';

const bed = temporaryVault();

describe('write', () => {
  it('makes a note and the folders above it', async () => {
    const reply = await bed.vault.write('a/b/c.md', 'hello\n');
    expect(reply).toEqual({ path: 'a/b/c.md', mode: 'overwrite', bytes: 6, created: true });
    expect(bed.get('a/b/c.md')).toBe('hello\n');
  });

  it('replaces, appends and prepends', async () => {
    await bed.vault.write('n.md', 'two\n');
    expect(await bed.vault.write('n.md', 'three\n', 'append')).toMatchObject({
      created: false,
      bytes: 10,
    });
    await bed.vault.write('n.md', 'one\n', 'prepend');
    expect(bed.get('n.md')).toBe('one\ntwo\nthree\n');
    await bed.vault.write('n.md', 'new');
    expect(bed.get('n.md')).toBe('new');
  });

  it('appends and prepends to a note that is not there yet', async () => {
    await bed.vault.write('a.md', 'x', 'append');
    await bed.vault.write('b.md', 'y', 'prepend');
    expect([bed.get('a.md'), bed.get('b.md')]).toEqual(['x', 'y']);
  });

  it('prepends after the front matter, which has to stay in front', async () => {
    await bed.vault.write('n.md', '---\nk: 1\n---\nbody\n');
    await bed.vault.write('n.md', 'first\n', 'prepend');
    expect(bed.get('n.md')).toBe('---\nk: 1\n---\nfirst\nbody\n');
  });

  it('keeps the mode of the file, and byte order mark and line ends of its text', async () => {
    bed.put('n.md', '\uFEFFa\r\nb\r\n');
    chmodSync(path.join(bed.root, 'n.md'), 0o640);
    await bed.vault.write('n.md', 'c\r\n', 'append');
    expect(bed.get('n.md')).toBe('\uFEFFa\r\nb\r\nc\r\n');
    expect(statSync(path.join(bed.root, 'n.md')).mode & 0o777).toBe(0o640);
  });

  it('takes 10 MiB and no byte more, also when they come together by appending', async () => {
    const full = 'x'.repeat(vaultLimits.noteBytes);
    await bed.vault.write('n.md', full);
    await expect(bed.vault.write('m.md', `${full}y`)).rejects.toMatchObject(
      failure('limit_exceeded', '10 MiB'),
    );
    await expect(bed.vault.write('n.md', 'y', 'append')).rejects.toMatchObject(
      failure('limit_exceeded'),
    );
    await expect(bed.vault.write('n.md', 'y', 'prepend')).rejects.toMatchObject(
      failure('limit_exceeded'),
    );
    expect(existsSync(path.join(bed.root, 'm.md'))).toBe(false);
    expect(statSync(path.join(bed.root, 'n.md')).size).toBe(vaultLimits.noteBytes);
  });

  it('says that a folder is no note', async () => {
    mkdirSync(path.join(bed.root, 'folder'));
    await expect(bed.vault.write('folder', 'x')).rejects.toMatchObject(
      failure('vault_error', 'is a folder'),
    );
    await expect(bed.vault.write('/', 'x')).rejects.toMatchObject(
      failure('vault_error', 'the whole vault'),
    );
  });

  it('says that a note is no folder', async () => {
    bed.put('note.md', 'x');
    await expect(bed.vault.write('note.md/below.md', 'x')).rejects.toMatchObject(
      failure('vault_error', 'is a file'),
    );
  });

  it('says when a name is too long', async () => {
    await expect(bed.vault.write(`${'x'.repeat(300)}.md`, 'x')).rejects.toMatchObject(
      failure('vault_error', 'too long'),
    );
    expect(readdirSync(bed.root)).toEqual([]);
  });
});

describe('read', () => {
  it('gives text and front matter, whatever the extension', async () => {
    bed.put('n.md', '---\nk: [1, a]\n---\nbody\n');
    bed.put('card.json', '{}');
    expect(await bed.vault.read('n.md')).toEqual({
      path: 'n.md',
      content: '---\nk: [1, a]\n---\nbody\n',
      frontmatter: { k: [1, 'a'] },
      problem: null,
    });
    expect(await bed.vault.read('./card.json')).toMatchObject({
      path: 'card.json',
      content: '{}',
      frontmatter: null,
    });
  });

  it('says what is not there, what is no text and what is too large', async () => {
    bed.put('binary.md', Buffer.from([0xff, 0xfe, 0x00]));
    bed.put('large.md', Buffer.alloc(vaultLimits.noteBytes + 1, 'x'));
    await expect(bed.vault.read('none.md')).rejects.toMatchObject(failure('file_not_found'));
    await expect(bed.vault.read('no/such.md')).rejects.toMatchObject(failure('file_not_found'));
    await expect(bed.vault.read('binary.md')).rejects.toMatchObject(
      failure('vault_error', 'not text'),
    );
    await expect(bed.vault.read('large.md')).rejects.toMatchObject(failure('limit_exceeded'));
  });
});

describe('batch_read', () => {
  it('reads each note and says which could not be read', async () => {
    bed.put('a.md', '---\nk: 1\n---\nA');
    const { notes } = await bed.vault.readMany({ paths: ['a.md', 'none.md', '../x.md'] });
    expect(notes[0]).toEqual({
      path: 'a.md',
      content: '---\nk: 1\n---\nA',
      frontmatter: { k: 1 },
      error: null,
    });
    expect(notes[1]).toMatchObject({ path: 'none.md', content: null, frontmatter: null });
    expect(notes[1]?.error).toContain('no note');
    expect(notes[2]?.error).toContain('..');
  });

  it('leaves out what is not wanted', async () => {
    bed.put('a.md', '---\nk: 1\n---\nA');
    const { notes } = await bed.vault.readMany({
      paths: ['a.md'],
      include_content: false,
      include_frontmatter: false,
    });
    expect(notes).toEqual([{ path: 'a.md', content: null, frontmatter: null, error: null }]);
  });

  it('reads ten at once and refuses eleven', async () => {
    const paths = Array.from({ length: 10 }, (_, index) => `n${String(index)}.md`);
    for (const file of paths) bed.put(file, file);
    const { notes } = await bed.vault.readMany({ paths });
    expect(notes.map(({ content }) => content)).toEqual(paths);
    await expect(bed.vault.readMany({ paths: [...paths, 'n0.md'] })).rejects.toMatchObject(
      failure('limit_exceeded', '10'),
    );
  });

  it('keeps the reply small and says what it left out', async () => {
    bed.put('a.md', 'a'.repeat(3 * 1024 * 1024));
    bed.put('b.md', 'b'.repeat(3 * 1024 * 1024));
    const { notes } = await bed.vault.readMany({ paths: ['a.md', 'b.md'] });
    expect(notes[0]?.content?.length).toBe(3 * 1024 * 1024);
    expect(notes[1]).toMatchObject({ content: null });
    expect(notes[1]?.error).toContain('alone');
  });
});

describe('list', () => {
  it('shows notes and folders sorted by path, without excluded folders and other files', async () => {
    bed.put('b.md', 'xx');
    bed.put('a/x.md', 'x');
    bed.put('.hidden.md', 'h');
    bed.put('picture.png', 'p');
    bed.put('.git/config.md', 'g');
    expect(await bed.vault.list({})).toEqual({
      path: '/',
      recursive: false,
      count: 3,
      entries: [
        { path: '.hidden.md', is_dir: false, size: 1 },
        { path: 'a', is_dir: true, size: null },
        { path: 'b.md', is_dir: false, size: 2 },
      ],
      truncated: false,
    });
  });

  it('goes through all folders when asked to, and names notes only', async () => {
    bed.put('a/b/c.md', '1');
    bed.put('a/d.md', '2');
    bed.put('a/.obsidian/e.md', '3');
    bed.put('f.md', '4');
    const below = await bed.vault.list({ path: 'a', recursive: true });
    expect(below.entries.map((entry) => entry.path)).toEqual(['a/b/c.md', 'a/d.md']);
    expect(below).toMatchObject({ path: 'a', recursive: true, count: 2 });
    expect((await bed.vault.list({ path: '/', recursive: true })).count).toBe(3);
  });

  it('says what is no folder and what is not there', async () => {
    bed.put('n.md', '1');
    await expect(bed.vault.list({ path: 'n.md' })).rejects.toMatchObject(
      failure('vault_error', 'not a folder'),
    );
    await expect(bed.vault.list({ path: 'none' })).rejects.toMatchObject(failure('file_not_found'));
  });
});

describe('move', () => {
  it('renames a note and makes the folders above its new place', async () => {
    await bed.vault.write('a.md', 'A');
    expect(await bed.vault.move('a.md', 'x/y/b.md')).toEqual({
      moved: true,
      from: 'a.md',
      to: 'x/y/b.md',
    });
    expect(bed.get('x/y/b.md')).toBe('A');
    await expect(bed.vault.read('a.md')).rejects.toMatchObject(failure('file_not_found'));
  });

  it('replaces a note only when told to, and then keeps what it held', async () => {
    await bed.vault.write('a.md', 'A');
    await bed.vault.write('b.md', 'B');
    await expect(bed.vault.move('a.md', 'b.md')).rejects.toMatchObject(failure('file_exists'));
    expect([bed.get('a.md'), bed.get('b.md')]).toEqual(['A', 'B']);
    await bed.vault.move('a.md', 'b.md', true);
    expect(bed.get('b.md')).toBe('A');
    const [version] = (await bed.vault.history('b.md')).versions;
    expect((await bed.vault.history('b.md', version?.version)).content).toBe('B');
  });

  it('moves no folder, and nothing that is not there', async () => {
    bed.put('folder/a.md', 'A');
    await expect(bed.vault.move('folder', 'other')).rejects.toMatchObject(
      failure('vault_error', 'a folder'),
    );
    await expect(bed.vault.move('none.md', 'other.md')).rejects.toMatchObject(
      failure('file_not_found'),
    );
    await expect(bed.vault.move('folder/a.md', 'folder', true)).rejects.toMatchObject(
      failure('vault_error', 'a folder'),
    );
  });

  it('leaves a note that is moved onto itself', async () => {
    await bed.vault.write('a.md', 'A');
    await bed.vault.move('a.md', './a.md', true);
    expect(bed.get('a.md')).toBe('A');
  });
});

describe('delete', () => {
  it('takes the note away, and says when there is none', async () => {
    await bed.vault.write('a.md', 'A');
    expect(await bed.vault.remove('a.md')).toEqual({ path: 'a.md' });
    expect(existsSync(path.join(bed.root, 'a.md'))).toBe(false);
    await expect(bed.vault.remove('a.md')).rejects.toMatchObject(failure('file_not_found'));
  });

  it('takes away no folder, unless that is what is asked for', async () => {
    bed.put('team/cards/a.json', '{}');
    bed.put('team/notes/.git/x', 'x');
    bed.put('other.md', 'o');
    await expect(bed.vault.remove('team')).rejects.toMatchObject(
      failure('vault_error', 'a folder'),
    );
    await bed.vault.removeFolder('team');
    await bed.vault.removeFolder('team');
    expect(readdirSync(bed.root)).toEqual(['other.md']);
    await bed.vault.restore('team/cards/a.json', await newest('team/cards/a.json'));
    expect(bed.get('team/cards/a.json')).toBe('{}');
    await expect(bed.vault.removeFolder('/')).rejects.toMatchObject(failure('vault_error'));
  });
});

describe('replace', () => {
  it('replaces every occurrence of a text, and says how many', async () => {
    await bed.vault.write('n.md', 'a.c abc a.c $1');
    const input = { path: 'n.md', old_string: 'a.c', new_string: '$&' };
    expect(await bed.vault.replace(input)).toEqual({ path: 'n.md', replacements: 2 });
    expect(bed.get('n.md')).toBe('$& abc $& $1');
  });

  it('finds nothing without complaint, and then writes nothing', async () => {
    await bed.vault.write('n.md', 'abc');
    const before = statSync(path.join(bed.root, 'n.md'), { bigint: true }).mtimeNs;
    const reply = await bed.vault.replace({ path: 'n.md', old_string: 'x', new_string: 'y' });
    expect(reply.replacements).toBe(0);
    expect(statSync(path.join(bed.root, 'n.md'), { bigint: true }).mtimeNs).toBe(before);
  });

  it('replaces by pattern, with groups', async () => {
    await bed.vault.write('n.md', 'one-two\nTHREE-four\n');
    const replace = (old_string: string, new_string: string): Promise<unknown> =>
      bed.vault.replace({ path: 'n.md', old_string, new_string, regex: true });
    expect(await replace('(\\w+)-(?P<last>\\w+)', '${last}_$1')).toMatchObject({ replacements: 2 });
    expect(bed.get('n.md')).toBe('two_one\nfour_THREE\n');
    await replace('(?i)three', '$$&:$&');
    expect(bed.get('n.md')).toBe('two_one\nfour_$&:THREE\n');
    await replace('(?m)^(four)?', '>$1');
    expect(bed.get('n.md')).toBe('>two_one\n>four_$&:THREE\n>');
  });

  it('refuses a pattern that is none or is too long, and changes nothing', async () => {
    await bed.vault.write('n.md', 'text');
    const replace = (old_string: string): Promise<unknown> =>
      bed.vault.replace({ path: 'n.md', old_string, new_string: 'x', regex: true });
    await expect(replace('(')).rejects.toMatchObject(failure('invalid_input', 'old_string'));
    await expect(replace('x'.repeat(1025))).rejects.toMatchObject(failure('invalid_input', '1024'));
    expect(bed.get('n.md')).toBe('text');
  });

  it('refuses a result that is larger than a note', async () => {
    const text = 'x'.repeat(1024 * 1024);
    await bed.vault.write('n.md', text);
    for (const regex of [true, false]) {
      await expect(
        bed.vault.replace({ path: 'n.md', old_string: 'x', new_string: 'y'.repeat(11), regex }),
      ).rejects.toMatchObject(failure('limit_exceeded'));
    }
    expect(bed.get('n.md')).toBe(text);
  });
});

describe('stats', () => {
  it('counts notes, folders and bytes, and shows the newest first', async () => {
    bed.put('old.md', '12345');
    bed.put('a/new.md', '123');
    bed.put('a/b/image.png', '1234567');
    bed.put('.git/x.md', '1');
    utimesSync(path.join(bed.root, 'old.md'), 1000, 1000);
    const stats = await bed.vault.stats();
    expect(stats).toMatchObject({ total_notes: 2, total_folders: 2, total_size_bytes: 8 });
    expect(stats.recent_files.map((file) => file.path)).toEqual(['a/new.md', 'old.md']);
    expect(stats.recent_files[1]).toEqual({
      path: 'old.md',
      size_bytes: 5,
      modified: '1970-01-01T00:16:40.000Z',
    });
    expect((await bed.vault.stats(1)).recent_files).toHaveLength(1);
  });
});

async function newest(file: string): Promise<number> {
  return (await bed.vault.history(file)).versions[0]?.version ?? 0;
}
