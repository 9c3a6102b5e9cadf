import { describe, expect, it } from 'vitest';
import {
  renderEntries,
  renderFrontMatter,
  renderHistory,
  renderLinks,
  renderNote,
  renderResults,
  renderTags,
} from '../../../helper-daemon/cli/render/vault.ts';
import { rendering } from '../cli/sampleOutputs.ts';
import { temporaryVault } from './temporaryVault.ts';

const bed = temporaryVault();
const plain = rendering();

describe('people see', () => {
  it('a note as it is, but nothing that drives their terminal', async () => {
    bed.put('n.md', 'a\r\n\x1b[2Jb\n');
    const note = await bed.vault.read('n.md');
    expect(renderNote(note, plain)).toBe('a\r\n\x1b[2Jb');
    expect(renderNote(note, { ...plain, width: 80 })).toBe('a\n\\x1b[2Jb');
  });

  it('results, entries, tags, front matter and links as lines', async () => {
    bed.put('a/n.md', '---\nk: [1, x]\ntags: [t]\n---\nsee [[m]] and [[none]]\n');
    bed.put('m.md', '[[n]]');
    expect(renderResults(await bed.vault.search({ query: 'see' }), plain)).toBe(
      'a/n.md:5: see [[m]] and [[none]]',
    );
    expect(renderResults(await bed.vault.search({ query: 'nowhere' }), plain)).toBe('No match.');
    expect(renderEntries(await bed.vault.list({}), plain)).toBe('  -  a/\n5 B  m.md');
    expect(renderTags(await bed.vault.tags('a/n.md'), plain)).toBe('t');
    expect(renderFrontMatter(await bed.vault.frontMatter('a/n.md'), plain)).toBe(
      'k     [1,"x"]\ntags  ["t"]',
    );
    expect(renderLinks(await bed.vault.links('a/n.md'), plain)).toBe(
      '-> m  m.md\n-> none  (no such note)\n<- m.md:1: [[n]]',
    );
  });

  it('that there are more results than these', async () => {
    bed.put('n.md', 'x\nx\n');
    const text = renderResults(await bed.vault.search({ query: 'x', max_results: 1 }), plain);
    expect(text).toContain('raise --max-results');
  });

  it('why front matter cannot be read', async () => {
    bed.put('n.md', '---\n- a\n---\n');
    expect(renderFrontMatter(await bed.vault.frontMatter('n.md'), plain)).toContain(
      'not a mapping',
    );
  });

  it('versions as a table, and the text of one', async () => {
    await bed.vault.write('n.md', 'one');
    await bed.vault.write('n.md', 'two');
    const history = await bed.vault.history('n.md');
    expect(renderHistory(history, plain)).toMatch(
      /VERSION +UNTIL +THEN +SIZE +NOTE\n +1 .* write +3 B +n\.md/,
    );
    expect(renderHistory(await bed.vault.history('n.md', 1), plain)).toBe('one');
  });
});
