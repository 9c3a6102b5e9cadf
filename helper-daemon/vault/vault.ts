/** The vault: notes in a directory of the host, for agents and people, with or without machines. */
import { mkdir, realpath } from 'node:fs/promises';
import type { InputOf, OutputOf } from '../../protocol/operations.ts';
import { vaultLimits } from '../../protocol/operations/vault.ts';
import type { HistoryBounds, VaultStore } from '../store/vaultStore.ts';
import { linksAround } from './backlinks.ts';
import { readEach } from './batch.ts';
import { inDirectory } from './beneath.ts';
import {
  changeNote,
  changeText,
  moveNote,
  notePlace,
  readBytes,
  removeNote,
  type View,
} from './change.ts';
import { vaultMissing } from './errors.ts';
import { joinNote, readFrontMatter, splitNote } from './frontMatter.ts';
import { deleteKey, setKey } from './frontMatterEdit.ts';
import { defaultBounds, history } from './history.ts';
import { listNotes, noteStats } from './notes.ts';
import { pathLocks } from './pathLocks.ts';
import { resolvePath, shownPath } from './paths.ts';
import { removeFolder } from './removeTree.ts';
import { replaceIn } from './replace.ts';
import { searchNotes } from './search.ts';
import { addTag, plainTag, removeTag, tagsOf } from './tags.ts';
import { requireText } from './text.ts';
import { walk } from './walk.ts';

export interface VaultOptions {
  /** Its directory on the host. */
  readonly root: string;
  /** Make the directory; else it has to be there. */
  readonly create: boolean;
  /** Of the files that list, search and stats show; without dots. */
  readonly extensions: readonly string[];
  /** Names of folders that are no part of the vault, at any depth. */
  readonly excludeDirs: readonly string[];
  /** The rows of the vault in this directory. */
  readonly store: (root: string) => VaultStore;
  readonly now: () => Date;
  readonly bounds?: HistoryBounds;
}

export type WriteMode = NonNullable<InputOf<'vault_write'>['mode']>;
type FrontMatterReply = OutputOf<'vault_frontmatter'>;
type TagsReply = OutputOf<'vault_tags'>;

/** Paths are relative to the vault, or to the folder it was scoped to. Every method throws CoppiceError. */
export interface Vault {
  read(path: string): Promise<OutputOf<'vault_read'>>;
  write(path: string, content: string, mode?: WriteMode): Promise<OutputOf<'vault_write'>>;
  /**
   * Reads a note and writes what becomes of it, with nobody in between: claims, counters, boards.
   * @param change null for a note that is not there; undefined leaves it as it is
   */
  edit(
    path: string,
    change: (content: string | null) => Promise<string | undefined> | string | undefined,
  ): Promise<{ readonly changed: boolean }>;
  search(input: InputOf<'vault_search'>): Promise<OutputOf<'vault_search'>>;
  list(input: InputOf<'vault_list'>): Promise<OutputOf<'vault_list'>>;
  remove(path: string): Promise<OutputOf<'vault_delete'>>;
  frontMatter(path: string): Promise<FrontMatterReply>;
  setFrontMatter(path: string, key: string, value: unknown): Promise<FrontMatterReply>;
  deleteFrontMatter(path: string, key: string): Promise<FrontMatterReply>;
  tags(path: string): Promise<TagsReply>;
  addTag(path: string, tag: string): Promise<TagsReply>;
  removeTag(path: string, tag: string): Promise<TagsReply>;
  replace(input: InputOf<'vault_replace'>): Promise<OutputOf<'vault_replace'>>;
  move(from: string, to: string, overwrite?: boolean): Promise<OutputOf<'vault_move'>>;
  readMany(input: InputOf<'vault_batch_read'>): Promise<OutputOf<'vault_batch_read'>>;
  stats(recentCount?: number): Promise<OutputOf<'vault_stats'>>;
  links(path: string): Promise<OutputOf<'vault_links'>>;
  history(path: string, version?: number): Promise<OutputOf<'vault_history'>>;
  restore(path: string, version: number): Promise<OutputOf<'vault_restore'>>;
  /** Makes a folder and what is missing above it. */
  makeFolder(path: string): Promise<void>;
  /** With everything below it; its notes can be restored. Nothing where there is no such folder. */
  removeFolder(path: string): Promise<void>;
  /** The same vault as if the folder were all of it; the folder need not be there yet. */
  scoped(folder: string): Vault;
}

export interface OpenVault extends Vault {
  /** Waits for what is being written. */
  close(): Promise<void>;
}

/**
 * Opens the vault and takes away what a crash has left in it.
 * @throws CoppiceError `wrong_state` when the directory cannot be opened
 */
export async function openVault(options: VaultOptions): Promise<OpenVault> {
  const { extensions, now, bounds = defaultBounds } = options;
  const root = await rootOf(options);
  const store = options.store(root);
  const locks = pathLocks();
  const core = { store, locks, extensions, history: history(store, bounds, now) };
  // Leftovers may also lie where no note is looked for.
  const tidied = walk(root, '', { excluded: [], recursive: true }).catch(() => undefined);
  return {
    ...viewOf({ core, root, folder: '', excluded: options.excludeDirs }),
    async close() {
      await Promise.all([tidied, locks.settled()]);
    },
  };
}

async function rootOf({ root, create }: VaultOptions): Promise<string> {
  try {
    if (create) await mkdir(root, { recursive: true, mode: 0o700 });
    return await realpath(root);
  } catch (error) {
    throw vaultMissing(root, error);
  }
}

function viewOf(view: View): Vault {
  const shown = (given: string): string => shownPath(view, notePlace(view, given).path);

  async function textOfNote(path: string): Promise<string> {
    return requireText((await readBytes(view, path)).bytes, path);
  }
  async function frontMatterOf(
    path: string,
    text: string,
    changed: boolean,
  ): Promise<FrontMatterReply> {
    const { data, problem } = await readFrontMatter(text);
    return { path: shown(path), frontmatter: data, problem, changed };
  }
  async function read(path: string): Promise<OutputOf<'vault_read'>> {
    const content = await textOfNote(path);
    const { data, problem } = await readFrontMatter(content);
    return { path: shown(path), content, frontmatter: data, problem };
  }

  return {
    read,
    async write(path, content, mode = 'overwrite') {
      const { bytes, created } = await changeNote(
        view,
        path,
        mode === 'overwrite' ? 'write' : mode,
        (former) => {
          if (mode === 'overwrite' || former === null) return Buffer.from(content);
          if (mode === 'append') return Buffer.concat([former, Buffer.from(content)]);
          return Buffer.from(prepended(requireText(former, path), content));
        },
      );
      return { path: shown(path), mode, bytes, created };
    },
    async edit(path, change) {
      const { changed } = await changeNote(view, path, 'edit', async (bytes) => {
        const former = bytes === null ? null : requireText(bytes, path);
        const next = await change(former);
        return next === undefined || next === former ? undefined : Buffer.from(next);
      });
      return { changed };
    },
    search: (input) => searchNotes(view, input),
    list: (input) => listNotes(view, input),
    async remove(path) {
      await removeNote(view, path);
      return { path: shown(path) };
    },
    frontMatter: async (path) => frontMatterOf(path, await textOfNote(path), false),
    async setFrontMatter(path, key, value) {
      const { text, changed } = await changeText(view, path, 'frontmatter', (former) =>
        setKey(former, key, value),
      );
      return frontMatterOf(path, text, changed);
    },
    async deleteFrontMatter(path, key) {
      const { text, changed } = await changeText(view, path, 'frontmatter', (former) =>
        deleteKey(former, key),
      );
      return frontMatterOf(path, text, changed);
    },
    async tags(path) {
      const tags = await tagsOf(await textOfNote(path));
      return { path: shown(path), tags, changed: false };
    },
    async addTag(path, tag) {
      const { text, changed } = await changeText(view, path, 'tags', (former) =>
        addTag(former, plainTag(tag)),
      );
      return { path: shown(path), tags: await tagsOf(text), changed };
    },
    async removeTag(path, tag) {
      const { text, changed } = await changeText(view, path, 'tags', (former) =>
        removeTag(former, plainTag(tag)),
      );
      return { path: shown(path), tags: await tagsOf(text), changed };
    },
    async replace(input) {
      const replacements = await replaceIn(view, input);
      return { path: shown(input.path), replacements };
    },
    async move(from, to, overwrite = false) {
      await moveNote(view, from, to, overwrite);
      return { moved: true, from: shown(from), to: shown(to) };
    },
    async readMany(input) {
      return { notes: await readEach(input, read) };
    },
    stats: (recentCount = vaultLimits.recent.default) => noteStats(view, recentCount),
    links: (path) => linksAround(view, path),
    async history(path, version) {
      const place = notePlace(view, path).path;
      const rows =
        version === undefined
          ? view.core.history.list(place)
          : [await view.core.history.read(place, version)];
      const [one] = rows;
      return {
        path: shown(path),
        versions: rows.map((row) => ({
          version: row.id,
          replaced_at: row.replacedAt,
          replaced_by: row.replacedBy,
          bytes: row.bytes,
          path: shownPath(view, row.formerPath),
        })),
        content:
          one !== undefined && 'content' in one ? requireText(one.content as Buffer, path) : null,
      };
    },
    async restore(path, version) {
      const { content } = await view.core.history.read(notePlace(view, path).path, version);
      await changeNote(view, path, 'restore', (former) =>
        former?.equals(content) === true ? undefined : content,
      );
      return { path: shown(path), version };
    },
    async makeFolder(path) {
      const folder = resolvePath(view, path);
      await inDirectory(view.root, folder, { create: true }, async () => undefined);
    },
    removeFolder: (path) => removeFolder(view, path),
    scoped: (folder) => viewOf({ ...view, folder: resolvePath(view, folder) }),
  };
}

/** Front matter has to stay in front. */
function prepended(text: string, content: string): string {
  const parts = splitNote(text);
  return joinNote({ ...parts, body: content + parts.body });
}
