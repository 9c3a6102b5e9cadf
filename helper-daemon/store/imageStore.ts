/** Rows of the image catalogue: names, and the files they stand for. */
import type { Database } from './database.ts';

export interface ImageFileRecord {
  /** sha256:<hex> of the file. */
  readonly digest: string;
  readonly sizeBytes: number;
  readonly virtualBytes: number;
}

export interface ImageRecord extends ImageFileRecord {
  readonly name: string;
  readonly createdAt: string;
  readonly provenance: Readonly<Record<string, unknown>>;
}

export interface ImageStore {
  /** Adds an image or points its name at another file. */
  put(image: ImageRecord): void;
  /** Adds a file that has no name yet. */
  putFile(file: ImageFileRecord): void;
  get(name: string): ImageRecord | undefined;
  all(): ImageRecord[];
  remove(name: string): void;
  file(digest: string): ImageFileRecord | undefined;
  files(): ImageFileRecord[];
  removeFile(digest: string): void;
}

type Row = Record<string, unknown>;

export function imageStore(db: Database): ImageStore {
  const putFile = db.prepare(
    'INSERT OR IGNORE INTO image_file (digest, size_bytes, virtual_bytes) VALUES (?, ?, ?)',
  );
  const put = db.prepare(
    'INSERT OR REPLACE INTO image (name, digest, created_at, provenance) VALUES (?, ?, ?, ?)',
  );
  const joined = 'SELECT * FROM image JOIN image_file USING (digest)';
  const get = db.prepare(`${joined} WHERE name = ?`);
  const all = db.prepare(`${joined} ORDER BY name`);
  const remove = db.prepare('DELETE FROM image WHERE name = ?');
  const file = db.prepare('SELECT * FROM image_file WHERE digest = ?');
  const files = db.prepare('SELECT * FROM image_file');
  const removeFile = db.prepare('DELETE FROM image_file WHERE digest = ?');
  return {
    put(image) {
      putFile.run(image.digest, image.sizeBytes, image.virtualBytes);
      put.run(image.name, image.digest, image.createdAt, JSON.stringify(image.provenance));
    },
    putFile({ digest, sizeBytes, virtualBytes }) {
      putFile.run(digest, sizeBytes, virtualBytes);
    },
    get(name) {
      const row = get.get(name);
      return row === undefined ? undefined : toImage(row);
    },
    all: () => all.all().map((row) => toImage(row)),
    remove(name) {
      remove.run(name);
    },
    file(digest) {
      const row = file.get(digest);
      return row === undefined ? undefined : toFile(row);
    },
    files: () => files.all().map((row) => toFile(row)),
    removeFile(digest) {
      removeFile.run(digest);
    },
  };
}

function toFile(row: Row): ImageFileRecord {
  return {
    digest: String(row['digest']),
    sizeBytes: Number(row['size_bytes']),
    virtualBytes: Number(row['virtual_bytes']),
  };
}

function toImage(row: Row): ImageRecord {
  return {
    ...toFile(row),
    name: String(row['name']),
    createdAt: String(row['created_at']),
    provenance: JSON.parse(String(row['provenance'])) as Record<string, unknown>,
  };
}
