/** The entries of an image's tar: names as text, owners and extended attributes, errors of the import. */
import type { Readable } from 'node:stream';
import type { CoppiceError } from '../../protocol/errors.ts';
import type { TarFault, TarKind } from '../system/tar/tarFormat.ts';
import { readTar } from '../system/tar/tarReader.ts';
import { imageCorrupt, imageInvalid } from './imageErrors.ts';

export interface TarEntry {
  readonly path: string;
  readonly kind: TarKind;
  readonly linkTarget: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: number;
  readonly size: number;
  /** Where the content begins in the (uncompressed) archive. */
  readonly offset: number;
  readonly xattrs: ReadonlyMap<string, Buffer>;
  /** The content in pieces; what is not read is skipped. */
  readonly body: () => AsyncGenerator<Buffer>;
}

export async function* tarEntries(input: Readable): AsyncGenerator<TarEntry> {
  for await (const { name, kind, link, mode, size, offset, ...entry } of readTar(input, refusal)) {
    const { modified, pax } = entry;
    async function* body(): AsyncGenerator<Buffer> {
      for await (const piece of entry.body()) {
        yield Buffer.from(piece.buffer, piece.byteOffset, piece.length);
      }
    }
    yield {
      path: utf8(name),
      kind,
      linkTarget: utf8(link),
      mode,
      uid: identity(pax.get('uid'), entry.uid),
      gid: identity(pax.get('gid'), entry.gid),
      mtime: Math.floor(modified / 1000),
      size,
      offset,
      xattrs: xattrsOf(pax),
      body,
    };
  }
}

function refusal(fault: TarFault, typeflag = ''): CoppiceError {
  switch (fault) {
    case 'empty':
      return imageInvalid('The archive is empty.');
    case 'longExtension':
      return imageInvalid('The archive holds an entry with an oversized header.');
    case 'type':
    case 'sparse':
      return imageInvalid(
        `The archive holds an entry of a kind that is not supported (${JSON.stringify(typeflag)}).`,
        'Write the tar without sparse files or multiple volumes, in pax or GNU format.',
      );
    case 'truncatedEntry':
      return imageCorrupt('The archive ends in the middle of an entry: it is truncated.');
    case 'truncatedContent':
      return imageCorrupt('The archive ends in the middle of a file: it is truncated.');
    case 'checksum':
      return imageCorrupt(
        'The archive is damaged, or not a tar archive: a header has a wrong checksum.',
      );
    case 'number':
      return imageCorrupt('The archive is damaged: a number in a header is not one.');
    case 'largeNumber':
    case 'size':
      return imageCorrupt('The archive holds an impossible number.');
    case 'pax':
      return imageCorrupt('The archive is damaged: an extended header cannot be read.');
  }
}

/** @param latin1 one character per byte */
function utf8(latin1: string): string {
  return Buffer.from(latin1, 'latin1').toString('utf8');
}

function identity(extended: Buffer | undefined, otherwise: number): number {
  const id = extended === undefined ? otherwise : Number(extended.toString('latin1'));
  if (!Number.isSafeInteger(id) || id < 0) {
    throw imageCorrupt('The archive holds an impossible number.');
  }
  if (id > 0xffffffff) throw imageCorrupt('The archive holds an impossible owner.');
  return id;
}

function xattrsOf(pax: ReadonlyMap<string, Buffer>): ReadonlyMap<string, Buffer> {
  const prefix = 'SCHILY.xattr.';
  const found = new Map<string, Buffer>();
  for (const [key, value] of pax) {
    // A copy: the attribute is kept, the header it came in is not.
    if (key.startsWith(prefix)) found.set(utf8(key.slice(prefix.length)), Buffer.from(value));
  }
  return found;
}
