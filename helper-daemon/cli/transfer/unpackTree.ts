/**
 * Unpacks a tar from a machine below a directory of this host. The machine is hostile: no entry may be
 * written outside, through a link, over a link's target, with special permissions, or without end.
 * Symlinks are made last, when nothing is written any more.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { CoppiceError } from '../../../protocol/errors.ts';
import type { TarEntry } from '../../system/tar/tarReader.ts';
import { printable } from '../text/printable.ts';
import { linkStaysInside, safeComponents } from './entryName.ts';
import { explainWriteError, freeSpaceAt } from './freeSpace.ts';
import { badTar, readMachineTar } from './machineTar.ts';

export interface UnpackOptions {
  /** Also make symlinks that lead out of the tree. */
  readonly unsafeLinks?: boolean;
  /** The root was made for this: it takes the permissions the archive gives it. */
  readonly ownRoot?: boolean;
  readonly onBytes?: (bytes: number) => void;
}

export interface UnpackCounts {
  files: number;
  directories: number;
  symlinks: number;
  bytes: number;
  /** Symlinks that lead out of the tree, not made; the first few of them. */
  outsideLinks: number;
  readonly outsideExamples: string[];
  /** Devices, pipes and sockets. */
  special: number;
}

/** Bounds what is remembered; no real tree comes near. */
const entryLimit = 2_000_000;

/** For directories that no entry of the archive describes. */
const impliedMode = 0o755;

interface Later {
  readonly path: string;
  readonly mode: number;
  readonly modified?: number;
}

interface LaterLink {
  readonly components: readonly string[];
  readonly target: string;
  readonly modified: number;
}

/** @param root an existing directory */
export async function unpackTree(
  root: string,
  source: AsyncIterable<Uint8Array>,
  options: UnpackOptions = {},
): Promise<UnpackCounts> {
  const counts: UnpackCounts = {
    files: 0,
    directories: 0,
    symlinks: 0,
    bytes: 0,
    outsideLinks: 0,
    outsideExamples: [],
    special: 0,
  };
  const base = Buffer.from(root).toString('latin1');
  const space = freeSpaceAt(root);
  const realDirectories = new Set<string>(['']);
  const written = new Set<string>();
  /** Directories made here, parents first; what the archive says of them is applied at the end. */
  const made = new Map<string, Later>();
  if (options.ownRoot === true) made.set('', { path: base, mode: impliedMode });
  const links: LaterLink[] = [];
  let entries = 0;

  const hostPath = (components: readonly string[]): string => [base, ...components].join('/');

  /** Every parent is a directory of its own, not a link to one; missing ones are made. */
  function ensureDirectory(components: readonly string[]): void {
    for (let depth = 1; depth <= components.length; depth += 1) {
      const key = components.slice(0, depth).join('/');
      if (realDirectories.has(key)) continue;
      const where = hostPath(components.slice(0, depth));
      const stats = fs.lstatSync(bytes(where), { throwIfNoEntry: false });
      if (stats === undefined) {
        space.admit(0);
        fs.mkdirSync(bytes(where), 0o700);
        made.set(key, { path: where, mode: impliedMode });
      } else if (!stats.isDirectory()) {
        throw inTheWay(where, 'a directory');
      }
      realDirectories.add(key);
    }
  }

  /** Directories that were there before keep their permissions, as with cp -r. */
  function addDirectory(components: readonly string[], entry: TarEntry): void {
    ensureDirectory(components);
    const key = components.join('/');
    const ours = made.get(key);
    if (ours !== undefined) {
      made.set(key, { path: ours.path, mode: entry.mode & 0o777, modified: entry.modified });
    }
    counts.directories += 1;
  }

  async function addFile(components: readonly string[], entry: TarEntry): Promise<void> {
    ensureDirectory(components.slice(0, -1));
    space.admit(entry.size);
    const target = hostPath(components);
    const temporary = hostPath([
      ...components.slice(0, -1),
      `.coppice-${randomBytes(6).toString('hex')}`,
    ]);
    const existing = fs.lstatSync(bytes(target), { throwIfNoEntry: false });
    if (existing?.isDirectory() === true) throw inTheWay(target, 'a file');
    // What is there stays whole until the new file is; a link there is replaced, not followed.
    const place = existing === undefined ? target : temporary;
    const file = fs.openSync(bytes(place), createOnly, 0o600);
    try {
      for await (const chunk of entry.body()) {
        writeWhole(file, chunk);
        counts.bytes += chunk.length;
        options.onBytes?.(counts.bytes);
      }
      fs.fchmodSync(file, entry.mode & 0o777);
      fs.futimesSync(file, Date.now() / 1000, entry.modified / 1000);
      fs.closeSync(file);
      if (place !== target) fs.renameSync(bytes(place), bytes(target));
    } catch (error) {
      closeQuietly(file);
      fs.rmSync(bytes(place), { force: true });
      throw error;
    }
    written.add(components.join('/'));
    counts.files += 1;
  }

  /** Only to a file of this same archive. */
  function addHardLink(components: readonly string[], entry: TarEntry): void {
    const from = safeComponents(entry.link);
    if (!written.has(from.join('/'))) {
      throw badTar('a hard link leads to something that is not in it');
    }
    ensureDirectory(components.slice(0, -1));
    space.admit(0);
    const target = hostPath(components);
    if (fs.lstatSync(bytes(target), { throwIfNoEntry: false })?.isDirectory() === true) {
      throw inTheWay(target, 'a file');
    }
    if (components.join('/') !== from.join('/')) {
      fs.rmSync(bytes(target), { force: true });
      fs.linkSync(bytes(hostPath(from)), bytes(target));
    }
    written.add(components.join('/'));
    counts.files += 1;
  }

  async function add(entry: TarEntry): Promise<void> {
    const components = safeComponents(entry.name);
    switch (entry.kind) {
      case 'directory':
        addDirectory(components, entry);
        return;
      case 'fifo':
      case 'device':
        counts.special += 1;
        return;
      case 'symlink':
        if (options.unsafeLinks !== true && !linkStaysInside(components.slice(0, -1), entry.link)) {
          counts.outsideLinks += 1;
          if (counts.outsideExamples.length < 3) {
            counts.outsideExamples.push(`${components.join('/')} -> ${entry.link}`);
          }
          return;
        }
        ensureDirectory(components.slice(0, -1));
        if (components.length > 0) {
          links.push({ components, target: entry.link, modified: entry.modified });
        }
        return;
      default:
        if (components.length === 0) throw badTar('a file has no name');
        if (entry.kind === 'link') addHardLink(components, entry);
        else await addFile(components, entry);
    }
  }

  function addLink({ components, target, modified }: LaterLink): void {
    space.admit(0);
    const where = hostPath(components);
    const existing = fs.lstatSync(bytes(where), { throwIfNoEntry: false });
    if (existing?.isDirectory() === true) throw inTheWay(where, 'a symbolic link');
    if (existing !== undefined) fs.rmSync(bytes(where));
    fs.symlinkSync(bytes(target), bytes(where));
    fs.lutimesSync(bytes(where), Date.now() / 1000, modified / 1000);
    counts.symlinks += 1;
  }

  let current = root;
  try {
    for await (const entry of readMachineTar(source)) {
      entries += 1;
      if (entries > entryLimit) throw badTar(`it holds more than ${String(entryLimit)} entries`);
      current = path.join(root, printable(entry.name));
      await add(entry);
    }
    for (const link of links) addLink(link);
    // Children before parents: a directory that became read-only would refuse them.
    for (const { path: where, mode, modified } of [...made.values()].reverse()) {
      fs.chmodSync(bytes(where), mode);
      if (modified !== undefined) fs.utimesSync(bytes(where), Date.now() / 1000, modified / 1000);
    }
  } catch (error) {
    throw explainWriteError(error, current);
  }
  return counts;
}

const createOnly =
  fs.constants.O_WRONLY | fs.constants.O_CREAT | fs.constants.O_EXCL | fs.constants.O_NOFOLLOW;

/** Names are bytes, one per character. */
function bytes(name: string): Buffer {
  return Buffer.from(name, 'latin1');
}

export function writeWhole(file: number, chunk: Uint8Array): void {
  let offset = 0;
  while (offset < chunk.length) offset += fs.writeSync(file, chunk, offset);
}

export function closeQuietly(file: number): void {
  try {
    fs.closeSync(file);
  } catch {
    // It was closed already.
  }
}

function inTheWay(where: string, wanted: string): CoppiceError {
  return new CoppiceError({
    code: 'file_exists',
    message: `${printable(bytes(where).toString())} is in the way: ${wanted} should be there, and it will not be followed or replaced.`,
    next: 'Move it away, or copy into another directory.',
  });
}
