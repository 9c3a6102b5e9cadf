/** Former contents of notes: kept before a note is replaced, within bounds, oldest first to go. */
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { deflate, inflate } from 'node:zlib';
import { CoppiceError } from '../../protocol/errors.ts';
import { vaultLimits } from '../../protocol/operations/vault.ts';
import type { HistoryBounds, VaultStore, VersionRow } from '../store/vaultStore.ts';

const compress = promisify(deflate);
const expand = promisify(inflate);

/** What was done to a note when a version of it was replaced. */
export type Reason =
  | 'write'
  | 'append'
  | 'prepend'
  | 'edit'
  | 'frontmatter'
  | 'tags'
  | 'replace'
  | 'move'
  | 'delete'
  | 'restore';

export interface History {
  /** Nothing is kept twice in a row. */
  keep(path: string, bytes: Buffer, reason: Reason): Promise<void>;
  /** Newest first. */
  list(path: string): VersionRow[];
  /** @throws CoppiceError `not_found` */
  read(path: string, version: number): Promise<VersionRow & { readonly content: Buffer }>;
  /** The history of a note goes where it goes. */
  move(from: string, to: string): void;
}

export const defaultBounds: HistoryBounds = {
  versions: 100,
  noteBytes: 16 * 1024 ** 2,
  totalBytes: 128 * 1024 ** 2,
};

export function history(store: VaultStore, bounds: HistoryBounds, now: () => Date): History {
  return {
    async keep(path, bytes, reason) {
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      if (store.newestDigest(path) === sha256) return;
      const version = {
        path,
        formerPath: path,
        replacedAt: now().toISOString(),
        replacedBy: reason,
        bytes: bytes.length,
        sha256,
        content: await compress(bytes),
      };
      store.keep(version, bounds);
    },
    list: (path) => store.versions(path),
    async read(path, version) {
      const row = store.version(path, version);
      if (row === undefined) throw noSuchVersion(path, version);
      const content = await expand(row.content, { maxOutputLength: vaultLimits.noteBytes });
      return { ...row, content };
    },
    move: (from, to) => store.moveVersions(from, to),
  };
}

function noSuchVersion(path: string, version: number): CoppiceError {
  return new CoppiceError({
    code: 'not_found',
    message: `There is no version ${String(version)} of '${path}'; old ones are let go.`,
    next: 'vault history lists what there is.',
    details: { path, version },
  });
}
