/** What the kernel tells about the pages of a process: /proc/<pid>/pagemap. */
import fsp from 'node:fs/promises';
import { IoVector, mapMemory, readProcess } from './libc.ts';
import { emptyPages, pageBytes, type PageSet } from './pageSet.ts';

// Bits of the upper half of an entry.
const present = 1 << 31;
const swapped = 1 << 30;
const fileOrShared = 1 << 29;
const softDirty = 1 << 23;

const entryBytes = 8;
/** Entries of 256 MiB at a time. */
const chunkBytes = 512 * 1024;

export interface PagesOfProcess {
  /** Belong to the process alone: written by it, in memory or swapped out. */
  readonly own: PageSet;
  /** Written since `clearDirty`; meaningless where `dirtyTracking` says that the kernel cannot tell. */
  readonly dirty: PageSet;
}

export async function readPagemap(
  pid: number | 'self',
  address: number,
  length: number,
): Promise<PagesOfProcess> {
  const handle = await fsp.open(`/proc/${String(pid)}/pagemap`, 'r');
  try {
    const own = emptyPages(length);
    const dirty = emptyPages(length);
    const buffer = Buffer.allocUnsafeSlow(Math.min(chunkBytes, own.length * entryBytes));
    const words = new Int32Array(buffer.buffer);
    const first = (address / pageBytes) * entryBytes;
    for (let page = 0; page < own.length;) {
      const wanted = Math.min(buffer.length, (own.length - page) * entryBytes);
      const position = first + page * entryBytes;
      const { bytesRead } = await handle.read(buffer, 0, wanted, position);
      if (bytesRead === 0) throw new Error(`the pagemap of process ${String(pid)} ends early`);
      const entries = Math.floor(bytesRead / entryBytes);
      for (let index = 0; index < entries; index += 1) {
        const entry = words[index * 2 + 1] ?? 0;
        if ((entry & (present | swapped)) === 0 || (entry & fileOrShared) !== 0) continue;
        own[page + index] = 1;
        if ((entry & softDirty) !== 0) dirty[page + index] = 1;
      }
      page += entries;
    }
    return { own, dirty };
  } finally {
    await handle.close();
  }
}

/** From now on `dirty` holds what the process writes. */
export async function clearDirty(pid: number | 'self'): Promise<void> {
  await fsp.writeFile(`/proc/${String(pid)}/clear_refs`, '4');
}

let tracking: Promise<boolean> | undefined;

/** Whether this kernel can tell which pages were written: tried out once, because many cannot. */
export function dirtyTracking(): Promise<boolean> {
  return (tracking ??= tryTracking().catch(() => false));
}

async function tryTracking(): Promise<boolean> {
  const pages = mapMemory(undefined, 2 * pageBytes, true);
  try {
    const write = async (offset: number): Promise<void> => {
      const to = new IoVector();
      const from = new IoVector();
      to.push(pages.address + offset, entryBytes);
      from.push(pages.address + pageBytes - offset, entryBytes);
      await readProcess(process.pid, to, from);
    };
    await write(0);
    await write(pageBytes);
    await clearDirty('self');
    await write(0);
    const { dirty } = await readPagemap('self', pages.address, pages.length);
    return dirty[0] === 1 && dirty[1] === 0;
  } finally {
    pages.release();
  }
}
