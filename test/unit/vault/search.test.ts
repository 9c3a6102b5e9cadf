import { renameSync, rmSync, statSync, utimesSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { vaultStore } from '../../../helper-daemon/store/vaultStore.ts';
import { failure, temporaryVault } from './temporaryVault.ts';

const bed = temporaryVault();

/** Path and number of each line found. */
async function found(query: string, more: object = {}): Promise<string[]> {
  const { results } = await bed.vault.search({ query, max_results: 0, ...more });
  return results.map((result) => `${result.path}:${String(result.line_number)}`);
}

/** So old that the index believes what it has seen of it. */
function age(file: string): void {
  utimesSync(path.join(bed.root, file), new Date(), new Date(Date.now() - 60_000));
}

/** How many of the notes of the test the index can search without reading. */
function indexed(): number {
  return vaultStore(bed.db, bed.root)
    .notes()
    .filter((row) => row.stamp !== '' && row.indexedBytes > 0).length;
}

/** Until stamps tell changes apart. */
const pastTheTick = (): Promise<void> => delay(150);

describe('search', () => {
  it('gives each line with two lines around it', async () => {
    bed.put('n.md', 'one\r\ntwo\r\nthree needle\r\nfour\r\nfive\r\nsix needle needle\r\n');
    expect(await bed.vault.search({ query: 'needle' })).toEqual({
      query: 'needle',
      result_count: 2,
      results: [
        {
          path: 'n.md',
          line_number: 3,
          line: 'three needle',
          context: 'one\ntwo\nthree needle\nfour\nfive',
        },
        {
          path: 'n.md',
          line_number: 6,
          line: 'six needle needle',
          context: 'four\nfive\nsix needle needle',
        },
      ],
      truncated: false,
    });
  });

  it('sorts by path, then line, and minds case, extension and excluded folders', async () => {
    bed.put('b.md', 'word\nx\nword');
    bed.put('a/z.md', 'a word');
    bed.put('a/Z.md', 'a Word');
    bed.put('c.txt', 'word');
    bed.put('a/.git/d.md', 'word');
    expect(await found('word')).toEqual(['a/z.md:1', 'b.md:1', 'b.md:3']);
  });

  it('gives 20 results unless told otherwise, and says that there are more', async () => {
    bed.put('n.md', 'word\n'.repeat(50));
    expect(await bed.vault.search({ query: 'word' })).toMatchObject({
      result_count: 20,
      truncated: true,
    });
    expect(await bed.vault.search({ query: 'word', max_results: 50 })).toMatchObject({
      result_count: 50,
      truncated: false,
    });
    expect(await bed.vault.search({ query: 'word', max_results: 0 })).toMatchObject({
      result_count: 50,
    });
  });

  it('keeps the reply small whatever the lines are', async () => {
    bed.put('n.md', `word${'x'.repeat(5000)}\n`.repeat(2000));
    const reply = await bed.vault.search({ query: 'word', max_results: 0 });
    expect(reply.truncated).toBe(true);
    expect(JSON.stringify(reply).length).toBeLessThan(5 * 1024 * 1024);
    expect(reply.results[0]?.line.length).toBeLessThan(2100);
  });

  it('looks in one folder, or one note, and says when there is none', async () => {
    bed.put('teams/a/tasks/t.md', 'status: pending');
    bed.put('teams/ab/t.md', 'status: pending');
    bed.put('x.md', 'status: pending');
    expect(await found('pending', { path_prefix: 'teams/a' })).toEqual(['teams/a/tasks/t.md:1']);
    expect(await found('pending', { path_prefix: 'x.md' })).toEqual(['x.md:1']);
    await expect(found('pending', { path_prefix: 'none' })).rejects.toMatchObject(
      failure('file_not_found'),
    );
  });

  it('looks only in notes with a tag, in the front matter or the text', async () => {
    bed.put('a.md', '---\ntags: [t]\n---\nword');
    bed.put('b.md', 'word #t');
    bed.put('c.md', 'word #tt');
    expect(await found('word', { tag: 't' })).toEqual(['a.md:4', 'b.md:1']);
    expect(await found('word', { tag: '#tt' })).toEqual(['c.md:1']);
    expect(await found('', { tag: 'tt' })).toEqual(['c.md:1']);
  });

  it('finds by pattern, short text and text of other scripts', async () => {
    bed.put('n.md', 'ab1\nÄpfel\n日本語の文\n😀😁😂 end\n');
    expect(await found('^[a-z]+\\d$', { regex: true })).toEqual(['n.md:1']);
    expect(await found('1')).toEqual(['n.md:1']);
    expect(await found('pfel')).toEqual(['n.md:2']);
    expect(await found('本語の')).toEqual(['n.md:3']);
    expect(await found('😀😁😂')).toEqual(['n.md:4']);
    expect(await found('"a" AND *')).toEqual([]);
  });

  it('never finds a text of two lines, as it goes line by line', async () => {
    bed.put('n.md', 'one\ntwo\n');
    expect(await found('one\ntwo')).toEqual([]);
  });

  it('refuses a pattern that is none', async () => {
    await expect(found('(', { regex: true })).rejects.toMatchObject(
      failure('invalid_input', 'query'),
    );
  });

  it('reads notes that are no text as well as it can', async () => {
    bed.put('latin.md', Buffer.from('caf\xe9 word\n', 'latin1'));
    expect(await found('word')).toEqual(['latin.md:1']);
  });
});

describe('the index', () => {
  it('knows notes after the first search, and then gives the same', async () => {
    for (const name of ['a', 'b', 'c']) bed.put(`${name}.md`, `common ${name}${name}${name}\n`);
    await pastTheTick();
    const first = await found('bbb');
    expect(indexed()).toBe(3);
    expect(await found('bbb')).toEqual(first);
    expect(first).toEqual(['b.md:1']);
  });

  it('finds what another program has changed, made, moved or deleted', async () => {
    for (const name of ['a', 'b', 'c', 'd']) bed.put(`${name}.md`, `before ${name}\n`);
    await pastTheTick();
    expect(await found('before')).toHaveLength(4);
    bed.put('a.md', 'after! a\n');
    bed.put('new.md', 'after n\n');
    renameSync(path.join(bed.root, 'b.md'), path.join(bed.root, 'moved.md'));
    rmSync(path.join(bed.root, 'c.md'));
    expect(await found('after')).toEqual(['a.md:1', 'new.md:1']);
    expect(await found('before')).toEqual(['d.md:1', 'moved.md:1']);
  });

  it('notices an edit that keeps size and modification time', async () => {
    bed.put('a.md', 'first\n');
    age('a.md');
    await pastTheTick();
    const { mtime, atime } = statSync(path.join(bed.root, 'a.md'));
    expect(await found('first')).toEqual(['a.md:1']);
    bed.put('a.md', 'other\n');
    utimesSync(path.join(bed.root, 'a.md'), atime, mtime);
    expect(await found('other')).toEqual(['a.md:1']);
  });

  it('does not believe a stamp of this very moment', async () => {
    for (let round = 0; round < 20; round += 1) {
      bed.put('a.md', `round-${String(round).padStart(2, '0')}\n`);
      expect(await found(`round-${String(round).padStart(2, '0')}`)).toEqual(['a.md:1']);
    }
  });

  it('finds what the vault itself writes', async () => {
    await bed.vault.write('a.md', 'status: pending\n');
    await pastTheTick();
    expect(await found('pending')).toEqual(['a.md:1']);
    await bed.vault.replace({ path: 'a.md', old_string: 'pending', new_string: 'done' });
    expect(await found('pending')).toEqual([]);
    expect(await found('done')).toEqual(['a.md:1']);
  });

  it('is there for the next daemon, and forgotten with another directory', async () => {
    bed.put('a.md', 'word\n');
    await pastTheTick();
    await found('word');
    await bed.reopen();
    expect(indexed()).toBe(1);
    expect(await found('word')).toEqual(['a.md:1']);
    await bed.reopen({ root: path.join(bed.directory, 'other') });
    expect(await found('word')).toEqual([]);
    expect(bed.db.prepare('SELECT count(*) AS n FROM vault_note').get()).toMatchObject({ n: 0 });
    expect(bed.db.prepare('SELECT count(*) AS n FROM vault_text').get()).toMatchObject({ n: 0 });
  });

  it('searches notes it does not hold by reading them', async () => {
    bed.put('large.md', `${'filler '.repeat(100_000)}\nneedle\n`);
    bed.put('zero.md', 'with \0 in it, needle\n');
    await pastTheTick();
    await found('needle');
    expect(indexed()).toBe(0);
    expect(await found('needle')).toEqual(['large.md:2', 'zero.md:1']);
  });

  it('never changes what a search finds', async () => {
    const word = fc.string({ unit: fc.constantFrom('a', 'b', 'ä', '"', ' ', '#', '日', 'A') });
    const files = fc.array(word, { minLength: 1, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(files, fc.array(word, { maxLength: 4 }), async (texts, queries) => {
        rmSync(bed.root, { recursive: true });
        texts.forEach((text, index) => bed.put(`${String(index)}.md`, text));
        for (const query of [...queries, ...texts.map((text) => text.slice(1, 6))]) {
          const expected = texts.flatMap((text, index) =>
            text !== '' && text.includes(query) ? [`${String(index)}.md:1`] : [],
          );
          expect(await found(query)).toEqual(expected);
          expect(await found(query)).toEqual(expected);
        }
      }),
      { numRuns: 40 },
    );
  });
});
