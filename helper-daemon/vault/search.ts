/** Search through notes, line by line. */
import type { InputOf, OutputOf } from '../../protocol/operations.ts';
import { vaultLimits } from '../../protocol/operations/vault.ts';
import { inDirectory } from './beneath.ts';
import type { View } from './change.ts';
import { mayContain, withKnownNotes, type KnownNotes } from './noteIndex.ts';
import { readNoteFile } from './noteFile.ts';
import { findNotes } from './notes.ts';
import { shownPath, split } from './paths.ts';
import { withPattern } from './regex.ts';
import { plainTag, tagsOf } from './tags.ts';
import { linesOf, textOf } from './text.ts';
import type { FoundFile } from './walk.ts';

type SearchResult = OutputOf<'vault_search'>;

/** Indexes of the matching lines of each text. */
type MatchLines = (texts: readonly string[]) => Promise<readonly (readonly number[])[]>;

/** Notes are read and matched together up to this size. */
const batch = { files: 16, bytes: 2 * 1024 * 1024 };
/** Of one line in a result. */
const maxLine = 2000;

/** @throws CoppiceError `invalid_input` for a pattern that is none, `file_not_found` for the prefix */
export async function searchNotes(
  view: View,
  input: InputOf<'vault_search'>,
): Promise<SearchResult> {
  const { query, regex = false } = input;
  if (!regex) {
    return await search(view, input, async (texts) => texts.map((text) => linesWith(text, query)));
  }
  return await withPattern(
    query,
    (pattern) => search(view, input, (texts) => pattern.matchingLines(texts)),
    'query',
  );
}

async function search(
  view: View,
  input: InputOf<'vault_search'>,
  matchLines: MatchLines,
): Promise<SearchResult> {
  const { query, regex = false, path_prefix, max_results: wanted } = input;
  const max = wanted === 0 ? Infinity : (wanted ?? vaultLimits.results.default);
  const { files, folder } = await findNotes(view, path_prefix);
  return withKnownNotes(view.core.store, folder, files, async (known) => {
    const skips = skipping(view, input, known);
    const results: SearchResult['results'][number][] = [];
    let bytes = 0;
    const pending = files.filter((file) => !skips(file));
    for (const part of batches(pending)) {
      const texts = await textsOf(view, part, known, input.tag);
      const matches = query.includes('\n') && !regex ? [] : await matchLines(texts);
      for (const [index, found] of matches.entries()) {
        const lines = found.length === 0 ? [] : linesOf(texts[index] ?? '');
        const path = shownPath(view, part[index]?.path ?? '');
        for (const at of found) {
          const result = resultAt(path, lines, at);
          bytes += Buffer.byteLength(result.line) + Buffer.byteLength(result.context);
          if (results.length === max || bytes > vaultLimits.replyBytes) return reply(true);
          results.push(result);
        }
      }
    }
    return reply(false);

    function reply(truncated: boolean): SearchResult {
      return { query, result_count: results.length, results, truncated };
    }
  });
}

/** Tells the notes that the index knows to hold no match. */
function skipping(
  { core }: View,
  { query, regex = false, tag }: InputOf<'vault_search'>,
  known: KnownNotes,
): (file: FoundFile) => boolean {
  const holding = regex ? undefined : mayContain(core.store, query);
  const tagged = tag === undefined ? undefined : core.store.withTag(plainTag(tag));
  return (file) => {
    const row = known.fresh(file);
    if (row === undefined) return false;
    if (tagged?.has(row.id) === false) return true;
    return row.indexedBytes > 0 && holding?.has(row.id) === false;
  };
}

function* batches(files: readonly FoundFile[]): Generator<readonly FoundFile[]> {
  let part: FoundFile[] = [];
  let size = 0;
  for (const file of files) {
    part.push(file);
    size += file.bytes;
    if (part.length < batch.files && size < batch.bytes) continue;
    yield part;
    part = [];
    size = 0;
  }
  yield part;
}

/** Empty for a note that went away, cannot be read, or has not the tag. */
async function textsOf(
  view: View,
  files: readonly FoundFile[],
  known: KnownNotes,
  tag: string | undefined,
): Promise<string[]> {
  const read = await Promise.all(files.map(({ path }) => bytesOf(view, path)));
  const texts: string[] = [];
  for (const [index, file] of files.entries()) {
    const bytes = read[index] ?? Buffer.alloc(0);
    if (read[index] !== undefined && known.fresh(file) === undefined) {
      await known.learn(file, bytes);
    }
    const text = textOf(bytes) ?? bytes.toString('latin1');
    const has = tag === undefined || (await tagsOf(text)).includes(plainTag(tag));
    texts.push(has ? text : '');
  }
  return texts;
}

/** Undefined for a note that went away or cannot be read. */
export async function bytesOf(view: View, path: string): Promise<Buffer | undefined> {
  const { folder, name } = split(path);
  try {
    return await inDirectory(view.root, folder, {}, async (directory) => {
      const { bytes } = await readNoteFile(directory, name);
      return bytes;
    });
  } catch {
    return undefined;
  }
}

function linesWith(text: string, query: string): number[] {
  const all = linesOf(text);
  if (!text.includes(query)) return [];
  return all.flatMap((line, index) => (line.includes(query) ? [index] : []));
}

function resultAt(
  path: string,
  lines: readonly string[],
  at: number,
): SearchResult['results'][number] {
  const context = lines.slice(Math.max(0, at - 2), at + 3).map(shortened);
  return {
    path,
    line_number: at + 1,
    line: shortened(lines[at] ?? ''),
    context: context.join('\n'),
  };
}

function shortened(line: string): string {
  return line.length <= maxLine ? line : `${line.slice(0, maxLine)}…`;
}
