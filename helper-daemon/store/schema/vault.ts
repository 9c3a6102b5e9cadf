/** Tables of the vault records; a part of a migration (store/migrations.ts). */
export const vaultSchema = `
  -- Directories that are or were a vault; the rest belongs to one of them.
  CREATE TABLE vault (
    id INTEGER PRIMARY KEY,
    root TEXT NOT NULL UNIQUE
  ) STRICT;

  -- What is known of the notes on disk; made from them alone, and only as good as the stamp.
  CREATE TABLE vault_note (
    id INTEGER PRIMARY KEY,
    vault_id INTEGER NOT NULL REFERENCES vault(id),
    path TEXT NOT NULL,
    -- Inode, size and times of the file that was read.
    stamp TEXT NOT NULL,
    -- Bytes of its text in vault_text; 0: not there, so it must be read to be searched.
    indexed_bytes INTEGER NOT NULL,
    UNIQUE (vault_id, path)
  ) STRICT;
  CREATE TABLE vault_tag (
    note_id INTEGER NOT NULL REFERENCES vault_note(id) ON DELETE CASCADE,
    tag TEXT NOT NULL,
    PRIMARY KEY (note_id, tag)
  ) STRICT, WITHOUT ROWID;
  -- Names of the notes it links to: the last part of the path, in small letters, without .md.
  CREATE TABLE vault_link (
    note_id INTEGER NOT NULL REFERENCES vault_note(id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    PRIMARY KEY (note_id, name)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX vault_link_name ON vault_link(name);
  -- Which notes hold which three characters; rowid is the note's. No text: that is in the files.
  CREATE VIRTUAL TABLE vault_text USING fts5(
    body, content = '', contentless_delete = 1, detail = none,
    tokenize = 'trigram case_sensitive 1'
  );

  -- Former contents of notes.
  CREATE TABLE vault_version (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    vault_id INTEGER NOT NULL REFERENCES vault(id),
    -- Where the note is now, or was when it was deleted.
    path TEXT NOT NULL,
    -- Where it was when it had this content.
    former_path TEXT NOT NULL,
    replaced_at TEXT NOT NULL,
    replaced_by TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    stored_bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    -- Compressed with zlib.
    content BLOB NOT NULL
  ) STRICT;
  CREATE INDEX vault_version_path ON vault_version(vault_id, path, id);
`;
