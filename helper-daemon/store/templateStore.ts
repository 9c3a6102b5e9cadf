/** Rows of templates that are ready, and the settings of the pool. */
import type { Database } from './database.ts';

export interface TemplateRecord {
  readonly id: string;
  /** Everything it was made of. */
  readonly key: string;
  readonly imageName: string;
  readonly imageDigest: string;
  readonly vcpus: number;
  readonly memoryMb: number;
  readonly diskGb: number;
  readonly layerId: string;
  readonly memoryId: string;
  readonly createdAt: string;
}

export interface TemplateStore {
  /** Takes the place of one with the same key. */
  put(template: TemplateRecord): void;
  byKey(key: string): TemplateRecord | undefined;
  all(): TemplateRecord[];
  remove(id: string): void;
}

export interface SettingStore {
  get(key: string): string | undefined;
  set(key: string, value: string): void;
}

type Row = Record<string, unknown>;

export function templateStore(db: Database): TemplateStore {
  const put = db.prepare(
    `INSERT OR REPLACE INTO template (id, key, image_name, image_digest, vcpus, memory_mb, disk_gb,
       layer_id, memory_id, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const byKey = db.prepare('SELECT * FROM template WHERE key = ?');
  const all = db.prepare('SELECT * FROM template ORDER BY created_at, id');
  const remove = db.prepare('DELETE FROM template WHERE id = ?');
  return {
    put(template) {
      put.run(
        template.id,
        template.key,
        template.imageName,
        template.imageDigest,
        template.vcpus,
        template.memoryMb,
        template.diskGb,
        template.layerId,
        template.memoryId,
        template.createdAt,
      );
    },
    byKey(key) {
      const row = byKey.get(key);
      return row === undefined ? undefined : toTemplate(row);
    },
    all: () => all.all().map(toTemplate),
    remove(id) {
      remove.run(id);
    },
  };
}

export function settingStore(db: Database): SettingStore {
  const get = db.prepare('SELECT value FROM setting WHERE key = ?');
  const set = db.prepare('INSERT OR REPLACE INTO setting (key, value) VALUES (?, ?)');
  return {
    get(key) {
      const row = get.get(key);
      return row === undefined ? undefined : String(row['value']);
    },
    set(key, value) {
      set.run(key, value);
    },
  };
}

function toTemplate(row: Row): TemplateRecord {
  return {
    id: String(row['id']),
    key: String(row['key']),
    imageName: String(row['image_name']),
    imageDigest: String(row['image_digest']),
    vcpus: Number(row['vcpus']),
    memoryMb: Number(row['memory_mb']),
    diskGb: Number(row['disk_gb']),
    layerId: String(row['layer_id']),
    memoryId: String(row['memory_id']),
    createdAt: String(row['created_at']),
  };
}
