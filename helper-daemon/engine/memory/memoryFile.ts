/**
 * A memory image in one file: magic, length of the header, the header (JSON), the device state, then the
 * bytes of every extent in order. Whole pages only; what is in no extent is zero.
 */
import { createHash, type Hash } from 'node:crypto';
import fs from 'node:fs';
import fsp from 'node:fs/promises';
import path from 'node:path';
import * as z from 'zod';
import { CoppiceError } from '../../../protocol/errors.ts';
import { memoryFileName } from './guestMemory.ts';
import { memfdCreate, type Extent } from './libc.ts';
import { readFully, requireMemory } from './memoryCopy.ts';
import type { MemoryParts } from './memoryImage.ts';
import { pageBytes } from './pageSet.ts';

const magic = Buffer.from('COPPMEM\x01', 'latin1');
const prefixBytes = magic.length + 4;
/** A guest of 16 GiB with every other page in use needs 30 MiB of header. */
const headerLimit = 64 * 1024 * 1024;
export const stateLimit = 64 * 1024 * 1024;
const chunkBytes = 1024 * 1024;

const headerSchema = z.strictObject({
  version: z.literal(1),
  id: z.uuid(),
  binding: z.record(z.string().max(64), z.string().max(1024)),
  memoryMb: z
    .int()
    .positive()
    .max(1024 * 1024),
  stateBytes: z.int().positive().max(stateLimit),
  /** First page and number of pages, ascending, not overlapping. */
  extents: z.array(z.tuple([z.int().nonnegative(), z.int().positive()])),
});
type Header = z.infer<typeof headerSchema>;

export interface LoadedMemory extends MemoryParts {
  /** Belongs to the caller. */
  readonly ram: number;
  readonly state: Buffer;
}

export interface FrozenMemory {
  readonly fd: number;
  readonly extents: readonly Extent[];
}

/** @throws CoppiceError `no_space`, `file_error`; the file is then not there */
export async function saveMemoryFile(
  file: string,
  image: MemoryParts,
  ram: FrozenMemory,
  state: Buffer,
): Promise<{ readonly sha256: string; readonly bytes: number }> {
  const temporary = `${file}.partial`;
  try {
    const written = await writeMemory(temporary, image, ram, state);
    await fsp.rename(temporary, file);
    await syncDirectory(path.dirname(file));
    return written;
  } catch (error) {
    await fsp.rm(temporary, { force: true });
    const code = (error as NodeJS.ErrnoException).code ?? '';
    throw new CoppiceError(
      {
        code: code === 'ENOSPC' || code === 'EDQUOT' ? 'no_space' : 'file_error',
        message: `The memory of the machine could not be written to ${file}: ${(error as Error).message}.`,
        next: 'Free space on that file system, or keep the disk alone.',
      },
      { cause: error },
    );
  }
}

async function writeMemory(
  file: string,
  { id, binding, memoryMb }: MemoryParts,
  ram: FrozenMemory,
  state: Buffer,
): Promise<{ readonly sha256: string; readonly bytes: number }> {
  const extents = ram.extents.map(([start, end]): [number, number] => [
    start / pageBytes,
    Math.ceil((end - start) / pageBytes),
  ]);
  const header: Header = { version: 1, id, binding, memoryMb, stateBytes: state.length, extents };
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length);
  const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW } = fs.constants;
  const target = await fsp.open(file, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
  try {
    const hash = createHash('sha256');
    let bytes = 0;
    const put = async (piece: Buffer): Promise<void> => {
      hash.update(piece);
      await target.writeFile(piece);
      bytes += piece.length;
    };
    await put(Buffer.concat([magic, length, text]));
    await put(state);
    const buffer = Buffer.allocUnsafeSlow(chunkBytes);
    for (const chunk of chunks(header)) {
      let filled = 0;
      for (const { position, size } of chunk) {
        if (fs.readSync(ram.fd, buffer, filled, size, position) !== size) {
          throw new Error('cut off');
        }
        filled += size;
      }
      await put(buffer.subarray(0, filled));
    }
    await target.sync();
    return { sha256: hash.digest('hex'), bytes };
  } finally {
    await target.close();
  }
}

/**
 * Reads an image back, checking its structure and its digest before anybody can use it.
 * @throws CoppiceError `memory_missing`, `memory_corrupt`, `no_memory`
 */
export async function loadMemoryFile(
  file: string,
  expected: { readonly id: string; readonly sha256: string },
): Promise<LoadedMemory> {
  let handle: fsp.FileHandle;
  try {
    handle = await fsp.open(file, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW);
  } catch (error) {
    throw new CoppiceError(
      {
        code: 'memory_missing',
        message: `The memory image ${file} cannot be opened: ${(error as Error).message}.`,
        next: 'Its snapshot can still be used without memory: the machine then boots from its disk.',
      },
      { cause: error },
    );
  }
  try {
    return await readMemory(handle, file, expected);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (code === 'no_memory' || code === 'memory_corrupt') throw error;
    if (code === 'ENOSPC' || code === 'ENOMEM') throw outOfMemory(error);
    throw corrupt(file, (error as Error).message, error);
  } finally {
    await handle.close();
  }
}

async function readMemory(
  handle: fsp.FileHandle,
  file: string,
  expected: { readonly id: string; readonly sha256: string },
): Promise<LoadedMemory> {
  const { size } = await handle.stat();
  const hash = createHash('sha256');
  const { header, at } = await readHeader(handle, size, hash);
  if (header.id !== expected.id) throw corrupt(file, `it is the image ${header.id}`);
  const dataBytes = checkedDataBytes(header);
  if (at + header.stateBytes + dataBytes !== size) throw corrupt(file, 'its length is wrong');
  await requireMemory(dataBytes);
  const state = Buffer.alloc(header.stateBytes);
  await readFully(handle, state, state.length, at);
  hash.update(state);
  const ram = memfdCreate(memoryFileName);
  try {
    fs.ftruncateSync(ram, header.memoryMb * 2 ** 20);
    await fillMemory(handle, at + state.length, header, ram, hash);
    if (hash.digest('hex') !== expected.sha256) throw corrupt(file, 'its digest is wrong');
  } catch (error) {
    fs.closeSync(ram);
    throw error;
  }
  const { id, binding, memoryMb } = header;
  return { id, binding, memoryMb, ram, state };
}

async function readHeader(
  handle: fsp.FileHandle,
  size: number,
  hash: Hash,
): Promise<{ readonly header: Header; readonly at: number }> {
  const prefix = Buffer.alloc(prefixBytes);
  await readFully(handle, prefix, prefix.length, 0);
  if (!prefix.subarray(0, magic.length).equals(magic)) throw new Error('it is no memory image');
  const length = prefix.readUInt32BE(magic.length);
  if (length > headerLimit || prefixBytes + length > size) {
    throw new Error('its header is too long');
  }
  const text = Buffer.alloc(length);
  await readFully(handle, text, length, prefixBytes);
  hash.update(prefix);
  hash.update(text);
  const header = headerSchema.parse(JSON.parse(text.toString('utf8')));
  return { header, at: prefixBytes + length };
}

function checkedDataBytes({ extents, memoryMb }: Header): number {
  const pages = (memoryMb * 2 ** 20) / pageBytes;
  let total = 0;
  let end = 0;
  for (const [first, count] of extents) {
    if (first < end || first + count > pages) throw new Error('its extents make no sense');
    end = first + count;
    total += count;
  }
  return total * pageBytes;
}

async function fillMemory(
  handle: fsp.FileHandle,
  from: number,
  header: Header,
  ram: number,
  hash: Hash,
): Promise<void> {
  const buffer = Buffer.allocUnsafeSlow(chunkBytes);
  let at = from;
  for (const chunk of chunks(header)) {
    const length = chunk.reduce((sum, { size }) => sum + size, 0);
    await readFully(handle, buffer, length, at);
    hash.update(buffer.subarray(0, length));
    let taken = 0;
    for (const { position, size } of chunk) {
      if (fs.writeSync(ram, buffer, taken, size, position) !== size) throw new Error('cut off');
      taken += size;
    }
    at += length;
  }
}

interface Piece {
  readonly position: number;
  readonly size: number;
}

/**
 * The extents as lists of pieces that together fit the buffer: memory is often in thousands of small ones.
 * Moving those to and from a memory file is a copy in memory and need not be waited for.
 */
function* chunks(header: Header): Generator<readonly Piece[]> {
  let chunk: Piece[] = [];
  let room = chunkBytes;
  for (const [first, count] of header.extents) {
    const end = (first + count) * pageBytes;
    for (let position = first * pageBytes; position < end;) {
      const size = Math.min(room, end - position);
      chunk.push({ position, size });
      position += size;
      room -= size;
      if (room > 0) continue;
      yield chunk;
      chunk = [];
      room = chunkBytes;
    }
  }
  if (chunk.length > 0) yield chunk;
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await fsp.open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function corrupt(file: string, why: string, cause?: unknown): CoppiceError {
  return new CoppiceError(
    {
      code: 'memory_corrupt',
      message: `The memory image ${file} is damaged: ${why.split('\n')[0]?.slice(0, 200) ?? ''}.`,
      next: 'Its snapshot can still be used without memory: the machine then boots from its disk.',
    },
    { cause },
  );
}

function outOfMemory(cause: unknown): CoppiceError {
  return new CoppiceError(
    {
      code: 'no_memory',
      message: 'The host has no memory left for the memory of the machine.',
      next: 'Stop machines that are not needed.',
    },
    { cause },
  );
}
