/** Writes the newc form of cpio that the kernel unpacks as its first root. No root, no tool, no clock. */

export interface CpioEntry {
  /** Without a leading slash. */
  readonly path: string;
  /** Type and permissions, for example 0o100755. */
  readonly mode: number;
  readonly data?: Uint8Array;
  /** Of a device node. */
  readonly device?: { readonly major: number; readonly minor: number };
}

const trailer = 'TRAILER!!!';

export function cpioArchive(entries: readonly CpioEntry[]): Buffer {
  const parts: Buffer[] = [];
  entries.forEach((entry, index) => parts.push(...member(entry, index + 1)));
  parts.push(...member({ path: trailer, mode: 0 }, 0));
  // The customary end at a 512-byte block.
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  parts.push(Buffer.alloc((512 - (length % 512)) % 512));
  return Buffer.concat(parts);
}

function member(entry: CpioEntry, inode: number): Buffer[] {
  const data = Buffer.from(entry.data ?? new Uint8Array());
  const name = Buffer.from(`${entry.path}\0`, 'utf8');
  const isDirectory = (entry.mode & 0o170000) === 0o040000;
  const fields = [
    inode,
    entry.mode,
    0, // uid
    0, // gid
    isDirectory ? 2 : 1, // links
    0, // mtime
    data.length,
    0, // device of the archive's file system
    0,
    entry.device?.major ?? 0,
    entry.device?.minor ?? 0,
    name.length,
    0, // no checksum in newc
  ];
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
  return [padded(Buffer.concat([Buffer.from(header, 'ascii'), name])), padded(data)];
}

function padded(bytes: Buffer): Buffer {
  const rest = (4 - (bytes.length % 4)) % 4;
  return rest === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(rest)]);
}
