/** Finds the memory of a guest in its monitor's process, and the image it started from, if any. */
import fs from 'node:fs';
import fsp from 'node:fs/promises';
import { CoppiceError } from '../../../protocol/errors.ts';
import { isSealed } from './libc.ts';

/** Name of the memory files, as the kernel shows it. */
export const memoryFileName = 'coppice-memory';

export interface GuestMemory {
  readonly pid: number;
  /** Where it begins in the monitor's address space. */
  readonly address: number;
  readonly bytes: number;
  /** What pages that the guest never wrote hold; absent: zeros. */
  readonly baseFd: number | undefined;
  /** Lets go of baseFd. */
  close(): void;
}

interface MappedFile {
  readonly device: string;
  readonly inode: string;
}

/**
 * `address` comes from the monitor, which a hostile guest may have taken over: it must be one private
 * mapping (or several side by side) of either nothing or a sealed memory file.
 * @throws CoppiceError `internal`
 */
export async function openGuestMemory(
  pid: number,
  address: number,
  bytes: number,
): Promise<GuestMemory> {
  const file = coveringFile(
    await fsp.readFile(`/proc/${String(pid)}/maps`, 'utf8'),
    address,
    bytes,
  );
  const baseFd = file.inode === '0' ? undefined : await openBase(pid, file, bytes);
  let open = baseFd !== undefined;
  return {
    pid,
    address,
    bytes,
    baseFd,
    close() {
      if (open && baseFd !== undefined) fs.closeSync(baseFd);
      open = false;
    },
  };
}

/** The one file (inode 0: none) that is mapped privately, from its start, over the whole range. */
export function coveringFile(maps: string, address: number, bytes: number): MappedFile {
  let covered = address;
  let found: MappedFile | undefined;
  for (const line of maps.split('\n')) {
    const match = /^([0-9a-f]+)-([0-9a-f]+) rw-p ([0-9a-f]+) (\S+) (\d+)/.exec(line);
    if (match === null) continue;
    const [, low = '', high = '', offset = '', device = '', inode = ''] = match;
    const start = parseInt(low, 16);
    if (start > covered || parseInt(high, 16) <= covered) continue;
    if (found !== undefined && (found.inode !== inode || found.device !== device)) break;
    if (inode !== '0' && start - parseInt(offset, 16) !== address) break;
    found = { device, inode };
    covered = parseInt(high, 16);
    if (covered >= address + bytes) return found;
  }
  throw notFound('its memory is not mapped as expected');
}

async function openBase(pid: number, file: MappedFile, bytes: number): Promise<number> {
  const directory = `/proc/${String(pid)}/fd`;
  for (const name of await fsp.readdir(directory)) {
    const link = `${directory}/${name}`;
    // The name first: opening what a hostile process holds open may block or have effects.
    const target = await fsp.readlink(link).catch(() => '');
    if (target !== `/memfd:${memoryFileName} (deleted)`) continue;
    const fd = fs.openSync(link, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
    const stat = fs.fstatSync(fd);
    if (String(stat.ino) === file.inode && stat.size === bytes && isSealed(fd)) return fd;
    fs.closeSync(fd);
  }
  throw notFound('the memory image it started from is not open');
}

function notFound(why: string): CoppiceError {
  return new CoppiceError({
    code: 'internal',
    message: `The memory of the machine cannot be captured: ${why}.`,
  });
}
