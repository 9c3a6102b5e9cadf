/** The entries of two file trees, walked side by side. */
import type { GuestClients } from '../guest/guestLink.ts';
import { FileKind, type ManifestEntry } from '../guest/gen/coppice/guest/v1/guest_pb.js';

export interface Entry {
  readonly entry: ManifestEntry;
  /** Orders as the guest does: a directory before what is in it, names by their bytes. */
  readonly key: Buffer;
}

export interface Pair {
  readonly before: ManifestEntry | undefined;
  readonly after: ManifestEntry | undefined;
}

/** An entry that both sides have. */
export interface Both {
  readonly before: ManifestEntry;
  readonly after: ManifestEntry;
}

export async function* manifest(
  { file }: GuestClients,
  path: Uint8Array,
  signal: AbortSignal,
): AsyncGenerator<Entry> {
  for await (const { entries } of file.manifest({ path }, { signal })) {
    for (const entry of entries) yield { entry, key: sortKey(entry.path) };
  }
}

/** "/" sorts before every byte of a name. */
function sortKey(path: Uint8Array): Buffer {
  return Buffer.from(path.map((byte) => (byte === 0x2f ? 0 : byte)));
}

/** Both sides in step; what only one has comes with `undefined` for the other. */
export async function* sideBySide(
  before: AsyncIterator<Entry>,
  after: AsyncIterator<Entry>,
): AsyncGenerator<Pair> {
  let [left, right] = await Promise.all([before.next(), after.next()]);
  while (left.done !== true || right.done !== true) {
    const order =
      left.done === true ? 1 : right.done === true ? -1 : left.value.key.compare(right.value.key);
    yield {
      before: order <= 0 && left.done !== true ? left.value.entry : undefined,
      after: order >= 0 && right.done !== true ? right.value.entry : undefined,
    };
    if (order <= 0) left = await before.next();
    if (order >= 0) right = await after.next();
  }
}

export type Difference = 'none' | 'type' | 'content' | 'metadata' | 'unsure';

/**
 * What the entries alone tell. A file that nobody wrote keeps its inode and change time, which no program in
 * the guest can set; where they differ and the size does not, only the bytes tell.
 */
export function differenceOf(before: ManifestEntry, after: ManifestEntry): Difference {
  if (before.kind !== after.kind) return 'type';
  const sameOwner =
    before.mode === after.mode && before.uid === after.uid && before.gid === after.gid;
  switch (before.kind) {
    case FileKind.DIRECTORY:
      return sameOwner ? 'none' : 'metadata';
    case FileKind.SYMLINK:
      if (Buffer.compare(before.target, after.target) !== 0) return 'content';
      return sameOwner ? 'none' : 'metadata';
    case FileKind.FILE:
      if (before.size !== after.size) return 'content';
      if (before.inode === after.inode && before.ctimeNs === after.ctimeNs) return 'none';
      return 'unsure';
    default:
      if (before.device !== after.device) return 'content';
      return sameOwner ? 'none' : 'metadata';
  }
}

/** Of two files with the same bytes. */
export function sameMetadata(before: ManifestEntry, after: ManifestEntry): boolean {
  return (
    before.mode === after.mode &&
    before.uid === after.uid &&
    before.gid === after.gid &&
    before.mtimeNs === after.mtimeNs
  );
}
