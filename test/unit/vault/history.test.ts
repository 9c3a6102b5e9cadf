import { describe, expect, it } from 'vitest';
import { failure, temporaryVault } from './temporaryVault.ts';

const bed = temporaryVault();

async function contents(file: string): Promise<(string | null)[]> {
  const { versions } = await bed.vault.history(file);
  return Promise.all(
    versions.map(async ({ version }) => (await bed.vault.history(file, version)).content),
  );
}

describe('the history of a note', () => {
  it('has what each kind of change replaced, newest first', async () => {
    const { vault } = bed;
    await vault.write('n.md', '1 #a\n');
    await vault.write('n.md', '2\n', 'append');
    await vault.write('n.md', '0\n', 'prepend');
    await vault.setFrontMatter('n.md', 'k', 1);
    await vault.addTag('n.md', 't');
    await vault.replace({ path: 'n.md', old_string: '2', new_string: 'two' });
    await vault.edit('n.md', (text) => `${text ?? ''}end`);
    await vault.write('n.md', 'last');
    const { versions } = await vault.history('n.md');
    expect(versions.map((version) => version.replaced_by)).toEqual([
      'write',
      'edit',
      'replace',
      'tags',
      'frontmatter',
      'prepend',
      'append',
    ]);
    expect((await contents('n.md')).slice(-3)).toEqual(['0\n1 #a\n2\n', '1 #a\n2\n', '1 #a\n']);
    expect(versions.at(-1)).toMatchObject({ bytes: 5, path: 'n.md' });
    expect(Date.parse(versions[0]?.replaced_at ?? '')).not.toBeNaN();
  });

  it('has what another program wrote, as soon as the vault replaces it', async () => {
    await bed.vault.write('n.md', 'ours');
    bed.put('n.md', 'theirs');
    await bed.vault.write('n.md', 'ours again');
    expect(await contents('n.md')).toEqual(['theirs']);
  });

  it('has no version for a change that changed nothing', async () => {
    await bed.vault.write('n.md', 'same');
    await bed.vault.write('n.md', 'same');
    await bed.vault.write('n.md', '', 'append');
    expect(await contents('n.md')).toEqual([]);
  });

  it('outlives the note, and brings it back', async () => {
    await bed.vault.write('dir/n.md', 'precious');
    await bed.vault.remove('dir/n.md');
    const [deleted] = (await bed.vault.history('dir/n.md')).versions;
    expect(deleted).toMatchObject({ replaced_by: 'delete' });
    await bed.vault.restore('dir/n.md', deleted?.version ?? 0);
    expect(bed.get('dir/n.md')).toBe('precious');
  });

  it('gets what a restore replaced', async () => {
    await bed.vault.write('n.md', 'one');
    await bed.vault.write('n.md', 'two');
    const [one] = (await bed.vault.history('n.md')).versions;
    await bed.vault.restore('n.md', one?.version ?? 0);
    expect(bed.get('n.md')).toBe('one');
    expect(await contents('n.md')).toEqual(['two', 'one']);
  });

  it('goes with the note when it moves', async () => {
    await bed.vault.write('a.md', 'one');
    await bed.vault.write('a.md', 'two');
    await bed.vault.move('a.md', 'b.md');
    expect((await bed.vault.history('a.md')).versions).toEqual([]);
    expect((await bed.vault.history('b.md')).versions).toMatchObject([{ path: 'a.md', bytes: 3 }]);
    expect(await contents('b.md')).toEqual(['one']);
  });

  it('keeps bytes that are no text, and gives them back', async () => {
    const bytes = Buffer.from([0xff, 0x00, 0xfe]);
    bed.put('n.bin', bytes);
    await bed.vault.remove('n.bin');
    const [version] = (await bed.vault.history('n.bin')).versions;
    await expect(bed.vault.history('n.bin', version?.version)).rejects.toMatchObject(
      failure('vault_error', 'not text'),
    );
    await bed.vault.restore('n.bin', version?.version ?? 0);
    expect(Buffer.from(bed.get('n.bin'))).toEqual(Buffer.from(bytes.toString('utf8')));
  });

  it('says when there is no such version, or only of another note', async () => {
    await bed.vault.write('a.md', 'one');
    await bed.vault.write('a.md', 'two');
    const [version] = (await bed.vault.history('a.md')).versions;
    await expect(bed.vault.history('a.md', 999)).rejects.toMatchObject(failure('not_found'));
    await expect(bed.vault.restore('b.md', version?.version ?? 0)).rejects.toMatchObject(
      failure('not_found'),
    );
  });

  it('is seen through a scope with the paths of the scope', async () => {
    await bed.vault.write('teams/a/n.md', 'one');
    await bed.vault.write('teams/a/n.md', 'two');
    const history = await bed.vault.scoped('teams/a').history('n.md');
    expect(history).toMatchObject({ path: 'n.md', versions: [{ path: 'n.md' }] });
  });
});

describe('the bounds of the history', () => {
  const bytes = 4 * 1024;
  /** Cannot be compressed much. */
  const noise = (length: number): string =>
    Array.from({ length }, () => String.fromCharCode(33 + Math.floor(Math.random() * 90))).join('');

  it('let the oldest versions of a note go', async () => {
    await bed.reopen({ bounds: { versions: 3, noteBytes: 1e9, totalBytes: 1e9 } });
    for (const text of ['1', '2', '3', '4', '5', '6']) await bed.vault.write('n.md', text);
    expect(await contents('n.md')).toEqual(['5', '4', '3']);
  });

  it('hold for the bytes of one note, but keep at least the last version', async () => {
    await bed.reopen({ bounds: { versions: 100, noteBytes: 2.5 * bytes, totalBytes: 1e9 } });
    for (let round = 0; round < 6; round += 1) await bed.vault.write('n.md', noise(bytes));
    expect((await bed.vault.history('n.md')).versions.length).toBeLessThan(4);
    await bed.vault.write('n.md', noise(10 * bytes));
    await bed.vault.write('n.md', 'x');
    expect((await bed.vault.history('n.md')).versions.map((version) => version.bytes)).toEqual([
      10 * bytes,
    ]);
  });

  it('hold for all notes together, the oldest going first', async () => {
    await bed.reopen({ bounds: { versions: 100, noteBytes: 1e9, totalBytes: 3 * bytes } });
    for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) {
      await bed.vault.write(`${name}.md`, noise(bytes));
      await bed.vault.write(`${name}.md`, '');
    }
    expect((await bed.vault.history('a.md')).versions).toEqual([]);
    expect((await bed.vault.history('f.md')).versions).toHaveLength(1);
    const { n } = bed.db.prepare('SELECT sum(stored_bytes) AS n FROM vault_version').get() ?? {};
    expect(Number(n)).toBeLessThanOrEqual(3 * bytes);
  });
});
