/** Rows of the vault: what is known of the notes on disk, and their former contents. */
import { lightly, transaction, type Database } from './database.ts';

/** What is known of a note whose file had this stamp. */
export interface NoteRow {
  readonly id: number;
  readonly path: string;
  readonly stamp: string;
  readonly indexedBytes: number;
}

/** What reading a note tells of it. */
export interface NoteFacts {
  readonly path: string;
  readonly stamp: string;
  /** To be found by its text; null: it has to be read for that. */
  readonly text: string | null;
  readonly tags: readonly string[];
  readonly linkNames: readonly string[];
}

export interface VersionRow {
  readonly id: number;
  readonly formerPath: string;
  readonly replacedAt: string;
  readonly replacedBy: string;
  readonly bytes: number;
}

export interface NewVersion extends Omit<VersionRow, 'id'> {
  readonly path: string;
  readonly sha256: string;
  /** Compressed. */
  readonly content: Uint8Array;
}

/** How much is kept: versions of one note, their compressed bytes, and those of all notes together. */
export interface HistoryBounds {
  readonly versions: number;
  readonly noteBytes: number;
  readonly totalBytes: number;
}

/** The rows of one vault. Paths are relative to its root. */
export interface VaultStore {
  notes(): NoteRow[];
  put(notes: readonly NoteFacts[]): void;
  /** Forgets what is known of these notes. */
  drop(ids: readonly number[]): void;
  /** Bytes of text that can be searched without reading files. */
  indexedBytes(): number;
  /** Ids of notes whose text holds all of these; each has three characters. */
  withTrigrams(trigrams: readonly string[]): Set<number>;
  withTag(tag: string): Set<number>;
  linkingTo(name: string): Set<number>;

  /** Keeps a former content and lets go of the oldest beyond the bounds, but never of this one. */
  keep(version: NewVersion, bounds: HistoryBounds): void;
  /** Newest first. */
  versions(path: string): VersionRow[];
  version(path: string, id: number): (VersionRow & { readonly content: Uint8Array }) | undefined;
  newestDigest(path: string): string | undefined;
  moveVersions(from: string, to: string): void;
}

export function vaultStore(db: Database, root: string): VaultStore {
  const vault = vaultId(db, root);
  return { ...noteRows(db, vault), ...versionRows(db, vault) };
}

function vaultId(db: Database, root: string): number {
  db.prepare('INSERT INTO vault (root) VALUES (?) ON CONFLICT DO NOTHING').run(root);
  const id = Number(db.prepare('SELECT id FROM vault WHERE root = ?').get(root)?.['id']);
  // The daemon has one vault: what was known of the files of another one only takes up space.
  transaction(db, () => {
    const others = 'FROM vault_note WHERE vault_id <> ?';
    db.prepare(`DELETE FROM vault_text WHERE rowid IN (SELECT id ${others})`).run(id);
    db.prepare(`DELETE ${others}`).run(id);
  });
  return id;
}

type NoteRows = Pick<
  VaultStore,
  'notes' | 'put' | 'drop' | 'indexedBytes' | 'withTrigrams' | 'withTag' | 'linkingTo'
>;

function noteRows(db: Database, vault: number): NoteRows {
  const all = db.prepare('SELECT * FROM vault_note WHERE vault_id = ?');
  const find = db.prepare('SELECT id FROM vault_note WHERE vault_id = ? AND path = ?');
  const insert = db.prepare(
    'INSERT INTO vault_note (vault_id, path, stamp, indexed_bytes) VALUES (?, ?, ?, ?)',
  );
  const remove = db.prepare('DELETE FROM vault_note WHERE id = ?');
  const insertText = db.prepare('INSERT INTO vault_text (rowid, body) VALUES (?, ?)');
  const removeText = db.prepare('DELETE FROM vault_text WHERE rowid = ?');
  const insertTag = db.prepare('INSERT OR IGNORE INTO vault_tag (note_id, tag) VALUES (?, ?)');
  const insertLink = db.prepare('INSERT OR IGNORE INTO vault_link (note_id, name) VALUES (?, ?)');
  const bytes = db.prepare('SELECT sum(indexed_bytes) AS bytes FROM vault_note');
  const byText = db.prepare('SELECT rowid AS id FROM vault_text WHERE vault_text MATCH ?');
  const byTag = db.prepare('SELECT note_id AS id FROM vault_tag WHERE tag = ?');
  const byLink = db.prepare('SELECT note_id AS id FROM vault_link WHERE name = ?');

  function dropOne(id: number): void {
    removeText.run(id);
    remove.run(id);
  }
  function putOne({ path, stamp, text, tags, linkNames }: NoteFacts): void {
    const former = find.get(vault, path);
    if (former !== undefined) dropOne(Number(former['id']));
    const size = text === null ? 0 : Buffer.byteLength(text);
    const id = Number(insert.run(vault, path, stamp, size).lastInsertRowid);
    if (text !== null) insertText.run(id, text);
    for (const tag of tags) insertTag.run(id, tag);
    for (const name of linkNames) insertLink.run(id, name);
  }
  /** Can be made again from the files: not worth a write to the disk of its own. */
  function derived(work: () => void): void {
    lightly(db, () => transaction(db, work));
  }
  return {
    notes: () => all.all(vault).map(toNote),
    put(notes) {
      if (notes.length > 0) derived(() => notes.forEach(putOne));
    },
    drop(ids) {
      if (ids.length > 0) derived(() => ids.forEach(dropOne));
    },
    indexedBytes: () => Number(bytes.get()?.['bytes'] ?? 0),
    withTrigrams(trigrams) {
      const match = trigrams.map((trigram) => `"${trigram.replaceAll('"', '""')}"`).join(' AND ');
      return ids(byText.all(match));
    },
    withTag: (tag) => ids(byTag.all(tag)),
    linkingTo: (name) => ids(byLink.all(name)),
  };
}

type VersionRows = Pick<
  VaultStore,
  'keep' | 'versions' | 'version' | 'newestDigest' | 'moveVersions'
>;

function versionRows(db: Database, vault: number): VersionRows {
  const insert = db.prepare(
    `INSERT INTO vault_version (vault_id, path, former_path, replaced_at, replaced_by, bytes,
       stored_bytes, sha256, content) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  // Newest first; `kept` are the bytes of a version and of all newer ones.
  const crowded = db.prepare(
    `DELETE FROM vault_version WHERE id IN (
       SELECT id FROM (
         SELECT id, row_number() OVER newer AS place, sum(stored_bytes) OVER newer AS kept
         FROM vault_version WHERE vault_id = ? AND path = ?
         WINDOW newer AS (ORDER BY id DESC))
       WHERE place > 1 AND (place > ? OR kept > ?))`,
  );
  const total = db.prepare('SELECT sum(stored_bytes) AS bytes FROM vault_version');
  const oldest = db.prepare('SELECT id, stored_bytes FROM vault_version ORDER BY id LIMIT 1');
  const remove = db.prepare('DELETE FROM vault_version WHERE id = ?');
  const columns = 'id, former_path, replaced_at, replaced_by, bytes';
  const list = db.prepare(
    `SELECT ${columns} FROM vault_version WHERE vault_id = ? AND path = ? ORDER BY id DESC`,
  );
  const one = db.prepare(
    `SELECT ${columns}, content FROM vault_version WHERE vault_id = ? AND path = ? AND id = ?`,
  );
  const digest = db.prepare(
    'SELECT sha256 FROM vault_version WHERE vault_id = ? AND path = ? ORDER BY id DESC LIMIT 1',
  );
  const move = db.prepare('UPDATE vault_version SET path = ? WHERE vault_id = ? AND path = ?');
  return {
    keep(version, bounds) {
      transaction(db, () => {
        const { path, formerPath, replacedAt, replacedBy, bytes, sha256, content } = version;
        const size = content.byteLength;
        const stored = [vault, path, formerPath, replacedAt, replacedBy, bytes, size, sha256];
        const id = Number(insert.run(...stored, content).lastInsertRowid);
        crowded.run(vault, path, bounds.versions, bounds.noteBytes);
        let excess = Number(total.get()?.['bytes'] ?? 0) - bounds.totalBytes;
        while (excess > 0) {
          const row = oldest.get();
          if (row === undefined || row['id'] === id) break;
          remove.run(Number(row['id']));
          excess -= Number(row['stored_bytes']);
        }
      });
    },
    versions: (path) => list.all(vault, path).map(toVersion),
    version(path, id) {
      const row = one.get(vault, path, id);
      if (row === undefined) return undefined;
      return { ...toVersion(row), content: row['content'] as Uint8Array };
    },
    newestDigest(path) {
      const row = digest.get(vault, path);
      return row === undefined ? undefined : String(row['sha256']);
    },
    moveVersions(from, to) {
      move.run(to, vault, from);
    },
  };
}

function ids(rows: readonly Record<string, unknown>[]): Set<number> {
  return new Set(rows.map((row) => Number(row['id'])));
}

function toNote(row: Record<string, unknown>): NoteRow {
  return {
    id: Number(row['id']),
    path: String(row['path']),
    stamp: String(row['stamp']),
    indexedBytes: Number(row['indexed_bytes']),
  };
}

function toVersion(row: Record<string, unknown>): VersionRow {
  return {
    id: Number(row['id']),
    formerPath: String(row['former_path']),
    replacedAt: String(row['replaced_at']),
    replacedBy: String(row['replaced_by']),
    bytes: Number(row['bytes']),
  };
}
