/**
 * A copy of a running guest's memory, in two passes: the first takes everything while the machine runs,
 * the second what may have changed since, while it stands still.
 */
import fs from 'node:fs';
import fsp from 'node:fs/promises';
import { CoppiceError } from '../../../protocol/errors.ts';
import { copyPages } from './copyPages.ts';
import { memoryFileName, type GuestMemory } from './guestMemory.ts';
import { dataExtents, mapMemory, memfdCreate, punchHole, type Mapping } from './libc.ts';
import {
  countPages,
  difference,
  emptyPages,
  isWithin,
  pageBytes,
  pageRuns,
  union,
  type PageSet,
} from './pageSet.ts';
import { clearDirty, dirtyTracking, readPagemap } from './pagemap.ts';

/** Puts these pages of the guest into the file; used where its memory may not be read directly. */
export type PageReader = (pages: PageSet, fd: number) => Promise<void>;

/** Bytes looked through for zeros at a time. */
const scanBytes = 1024 * 1024;
/** What must stay free on the host beyond a copy. */
const reserveBytes = 64 * 1024 * 1024;

export class MemoryCopy {
  readonly #guest: GuestMemory;
  readonly #reader: PageReader | undefined;
  readonly #fd: number;
  #mapping: Mapping | undefined;
  /** Belonged to the guest alone in the last pass. */
  #own: PageSet;
  /** Taken from the image below; undefined before that. */
  #base: PageSet | undefined;
  #tracks = false;

  constructor(guest: GuestMemory, reader: PageReader | undefined) {
    this.#guest = guest;
    this.#reader = reader;
    this.#own = emptyPages(guest.bytes);
    this.#fd = memfdCreate(memoryFileName);
    try {
      fs.ftruncateSync(this.#fd, guest.bytes);
      this.#mapping = mapMemory(this.#fd, guest.bytes, true);
    } catch (error) {
      fs.closeSync(this.#fd);
      throw error;
    }
  }

  get memoryMb(): number {
    return this.#guest.bytes / 2 ** 20;
  }

  /** Everything there is at this moment; the guest may run meanwhile. Bytes copied. */
  async copyAhead(): Promise<number> {
    this.#tracks = await dirtyTracking();
    if (this.#tracks) await clearDirty(this.#guest.pid);
    const { own } = await readPagemap(this.#guest.pid, this.#guest.address, this.#guest.bytes);
    await requireMemory(countPages(own) * pageBytes);
    const base = await this.#copyBase(own);
    await this.#copyOwn(own);
    this.#own = own;
    return base + countPages(own) * pageBytes;
  }

  /** What may have changed since copyAhead, or everything without it. The guest stands still. Bytes copied. */
  async copyRest(): Promise<number> {
    const { pid, address, bytes } = this.#guest;
    const { own, dirty } = await readPagemap(pid, address, bytes);
    // Nothing takes pages away from a guest (no balloon); if it happened, its content would be unknown.
    if (!isWithin(this.#own, own)) {
      throw new CoppiceError({
        code: 'internal',
        message: 'The machine gave memory back while it was captured; nothing was kept.',
      });
    }
    const base = await this.#copyBase(own);
    const rest = this.#tracks ? difference(own, difference(this.#own, dirty)) : own;
    await this.#copyOwn(rest);
    this.#own = own;
    return base + countPages(rest) * pageBytes;
  }

  /** The finished copy without its zero pages; the caller owns the descriptor. */
  async finish(): Promise<number> {
    this.#unmap();
    await this.#dropZeros();
    return this.#fd;
  }

  abort(): void {
    this.#unmap();
    fs.closeSync(this.#fd);
  }

  #unmap(): void {
    this.#mapping?.release();
    this.#mapping = undefined;
  }

  /** The image below the guest never changes: it is copied once, where the guest has nothing of its own. */
  async #copyBase(own: PageSet): Promise<number> {
    const { baseFd, bytes } = this.#guest;
    if (this.#base !== undefined || baseFd === undefined) return 0;
    const held = emptyPages(bytes);
    for (const [start, end] of dataExtents(baseFd, bytes)) {
      held.fill(1, start / pageBytes, Math.ceil(end / pageBytes));
    }
    const wanted = difference(held, own);
    await requireMemory(countPages(wanted) * pageBytes);
    const base = mapMemory(baseFd, bytes, false);
    try {
      await copyPages(process.pid, base.address, this.#address, wanted);
    } finally {
      base.release();
    }
    this.#base = wanted;
    return countPages(wanted) * pageBytes;
  }

  async #copyOwn(pages: PageSet): Promise<void> {
    if (this.#reader !== undefined) {
      await this.#reader(pages, this.#fd);
      return;
    }
    await copyPages(this.#guest.pid, this.#guest.address, this.#address, pages);
  }

  get #address(): number {
    if (this.#mapping === undefined) throw new Error('the copy is finished');
    return this.#mapping.address;
  }

  async #dropZeros(): Promise<void> {
    const buffer = Buffer.allocUnsafeSlow(scanBytes);
    let sinceYield = 0;
    // Of the image below too: machines that touched its holes have filled them with zeros.
    const copied = this.#base === undefined ? this.#own : union(this.#own, this.#base);
    for (const { offset, length } of pageRuns(copied, scanBytes)) {
      fs.readSync(this.#fd, buffer, 0, length, offset);
      for (const [start, end] of zeroRuns(buffer, length)) {
        punchHole(this.#fd, offset + start, end - start);
      }
      // A copy in memory, not worth waiting for; but others want their turn.
      sinceYield += length;
      if (sinceYield < scanBytes) continue;
      sinceYield = 0;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

const zeroPage = Buffer.alloc(pageBytes);

/** Runs of pages in `buffer` that are all zero, as [start, end) in bytes. */
function* zeroRuns(buffer: Buffer, length: number): Generator<readonly [number, number]> {
  let start = -1;
  for (let at = 0; at <= length; at += pageBytes) {
    const zero =
      at < length &&
      // Most pages differ in their first bytes.
      buffer.readInt32LE(at) === 0 &&
      buffer.compare(zeroPage, 0, pageBytes, at, at + pageBytes) === 0;
    if (zero && start < 0) start = at;
    if (!zero && start >= 0) {
      yield [start, at];
      start = -1;
    }
  }
}

/** @throws Error when the file ends before `length` bytes */
export async function readFully(
  handle: fsp.FileHandle,
  buffer: Buffer,
  length: number,
  position: number,
): Promise<void> {
  for (let done = 0; done < length;) {
    const { bytesRead } = await handle.read(buffer, done, length - done, position + done);
    if (bytesRead === 0) throw new Error('it ends early');
    done += bytesRead;
  }
}

/**
 * Taking more than there is would end some process of the host, perhaps a machine.
 * @throws CoppiceError `no_memory`
 */
export async function requireMemory(bytes: number): Promise<void> {
  const text = await fsp.readFile('/proc/meminfo', 'utf8');
  const available = Number(/^MemAvailable:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1024;
  if (available >= bytes + reserveBytes) return;
  throw new CoppiceError({
    code: 'no_memory',
    message: `The host has ${String(Math.floor(available / 2 ** 20))} MiB of memory left; the memory of the machine takes ${String(Math.ceil(bytes / 2 ** 20))} MiB.`,
    next: 'Stop machines that are not needed, or keep the disk alone.',
    details: { available, wanted: bytes },
  });
}
