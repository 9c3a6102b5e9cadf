/** Packs a directory of this host as a tar stream. */
import fs from 'node:fs';
import { CoppiceError } from '../../../protocol/errors.ts';
import { blockBytes, encodeHeader, paddingOf, type TarHeader } from '../../system/tar/tarFormat.ts';

export interface PackCounts {
  files: number;
  directories: number;
  symlinks: number;
  bytes: number;
  /** Sockets, pipes and devices, which are not copied. */
  special: number;
}

export function noCounts(): PackCounts {
  return { files: 0, directories: 0, symlinks: 0, bytes: 0, special: 0 };
}

/** Pieces are joined to about this size: a frame per header would be slow. */
const batchBytes = 256 * 1024;

/** The content of `root`; the entry `./` carries its own permissions. Counts as it goes. */
export async function* packTree(
  root: string,
  counts: PackCounts,
): AsyncGenerator<Uint8Array, void, undefined> {
  let batch: Uint8Array[] = [];
  let batched = 0;
  for (const piece of packDirectory(Buffer.from(root), './', counts)) {
    batch.push(piece);
    batched += piece.length;
    if (batched < batchBytes) continue;
    yield Buffer.concat(batch);
    batch = [];
    batched = 0;
  }
  yield Buffer.concat([...batch, Buffer.alloc(2 * blockBytes)]);
}

/** @param name of the directory in the archive, with its slash, one character per byte */
function* packDirectory(
  directory: Buffer,
  name: string,
  counts: PackCounts,
): Generator<Uint8Array, void, undefined> {
  yield encodeHeader(headerOf(name, 'directory', fs.statSync(directory)));
  counts.directories += 1;
  const children = fs.readdirSync(directory, { encoding: 'buffer' }).sort(Buffer.compare);
  for (const child of children) {
    const path = Buffer.concat([directory, slash, child]);
    const childName = name + child.toString('latin1');
    const stats = fs.lstatSync(path);
    if (stats.isDirectory()) {
      yield* packDirectory(path, `${childName}/`, counts);
    } else if (stats.isFile()) {
      yield* packFile(path, childName, counts);
    } else if (stats.isSymbolicLink()) {
      const link = fs.readlinkSync(path, { encoding: 'buffer' }).toString('latin1');
      yield encodeHeader({ ...headerOf(childName, 'symlink', stats), link });
      counts.symlinks += 1;
    } else {
      counts.special += 1;
    }
  }
}

function* packFile(
  path: Buffer,
  name: string,
  counts: PackCounts,
): Generator<Uint8Array, void, undefined> {
  const file = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW);
  try {
    const stats = fs.fstatSync(file);
    yield encodeHeader({ ...headerOf(name, 'file', stats), size: stats.size });
    let left = stats.size;
    while (left > 0) {
      const chunk = Buffer.allocUnsafe(Math.min(left, batchBytes));
      const read = fs.readSync(file, chunk);
      if (read === 0) throw changedWhileRead(path);
      left -= read;
      counts.bytes += read;
      yield chunk.subarray(0, read);
    }
    const padding = paddingOf(stats.size);
    if (padding > 0) yield Buffer.alloc(padding);
    counts.files += 1;
  } finally {
    fs.closeSync(file);
  }
}

const slash = Buffer.from('/');

function headerOf(name: string, kind: TarHeader['kind'], stats: fs.Stats): TarHeader {
  return { name, kind, size: 0, mode: stats.mode & 0o777, modified: stats.mtimeMs, link: '' };
}

function changedWhileRead(path: Buffer): CoppiceError {
  return new CoppiceError({
    code: 'file_error',
    message: `${path.toString()} became shorter while it was read.`,
    next: 'Copy again when nothing writes to it.',
  });
}
