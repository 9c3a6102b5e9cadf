/**
 * What is known of notes without reading them. It is made from the files alone and never believed further than
 * their stamps: a note that an editor has changed is read again, and what the index does not know is looked for
 * in the file. So it makes searches faster and can lose nothing.
 */
import { setImmediate as othersTurn } from 'node:timers/promises';
import type { NoteFacts, NoteRow, VaultStore } from '../store/vaultStore.ts';
import { linkNames, linksOf } from './links.ts';
import { isWithin } from './paths.ts';
import { tagsOf } from './tags.ts';
import { textOf } from './text.ts';
import type { FoundFile } from './walk.ts';

/** Adding more text than this at once would keep the daemon from everything else. */
const maxNoteBytes = 512 * 1024;
const maxTotalBytes = 128 * 1024 ** 2;
/** A transaction for each note takes much longer. */
const group = { notes: 32, bytes: 128 * 1024 };
/** Writes within one tick of the file system's clock leave the same stamp. */
const tickMs = 100;
/** More say little more and make the lookup longer. */
const maxTrigrams = 24;

export interface KnownNotes {
  /** Undefined: the file has to be read. */
  fresh(file: FoundFile): NoteRow | undefined;
  /** Takes note of what is in a file; some files are written down together. */
  learn(file: FoundFile, bytes: Buffer): Promise<void>;
}

/**
 * Runs `work` with what is known of notes, and writes down what it learns.
 * @param files all notes there are in the folder; what is known of others in it is forgotten
 */
export async function withKnownNotes<T>(
  store: VaultStore,
  folder: string,
  files: readonly FoundFile[],
  work: (known: KnownNotes) => Promise<T>,
): Promise<T> {
  const rows = new Map(store.notes().map((row) => [row.path, row]));
  const present = new Set(files.map(({ path }) => path));
  const gone = [...rows.values()].filter(
    ({ path }) => isWithin(path, folder) && !present.has(path),
  );
  store.drop(gone.map(({ id }) => id));
  let total = store.indexedBytes();
  let pending: NoteFacts[] = [];
  let pendingBytes = 0;
  function flush(): void {
    store.put(pending);
    pending = [];
    pendingBytes = 0;
  }
  const known: KnownNotes = {
    fresh(file) {
      const row = rows.get(file.path);
      return row?.stamp === file.stamp ? row : undefined;
    },
    async learn(file, bytes) {
      const text = textOf(bytes);
      const small = bytes.length <= maxNoteBytes && total + bytes.length <= maxTotalBytes;
      const searchable = text !== undefined && small && !text.includes('\0');
      if (searchable) total += bytes.length;
      const facts: NoteFacts = {
        path: file.path,
        stamp: Date.now() - file.changed < tickMs ? '' : file.stamp,
        text: searchable ? text : null,
        tags: text === undefined ? [] : await tagsOf(text),
        linkNames: text === undefined ? [] : linksOf(text).flatMap(({ note }) => linkNames(note)),
      };
      pending.push(facts);
      pendingBytes += bytes.length;
      if (pending.length < group.notes && pendingBytes < group.bytes) return;
      flush();
      // It took some milliseconds, and the daemon has other callers.
      await othersTurn();
    },
  };
  try {
    return await work(known);
  } finally {
    flush();
  }
}

/** Ids of the notes that may hold the text; undefined: the index cannot say. */
export function mayContain(store: VaultStore, query: string): ReadonlySet<number> | undefined {
  const characters = Array.from(query);
  if (characters.length < 3 || query.includes('\0')) return undefined;
  const all = characters.slice(2).map((_, index) => characters.slice(index, index + 3).join(''));
  const distinct = [...new Set(all)];
  const step = Math.max(1, Math.ceil(distinct.length / maxTrigrams));
  return store.withTrigrams(distinct.filter((_, index) => index % step === 0));
}
