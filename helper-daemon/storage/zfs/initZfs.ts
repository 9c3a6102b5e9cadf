/** Makes a pool ready to hold disks, or finds that it is. May be run again at any time. */
import { open, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { CoppiceError } from '../../../protocol/errors.ts';
import { run } from '../../system/run.ts';
import { saysNoSpace } from '../storageErrors.ts';
import {
  checkPlaceNames,
  dialectProperty,
  formatProperty,
  modeProperty,
  rootOf,
  type ZfsPlace,
} from './names.ts';
import { refusalOf, zfs, zfsGet, zfsPrograms, zfsUnless, type ZfsPrograms } from './zfsCommand.ts';

export interface ZfsSetup {
  readonly pool: string;
  readonly prefix: string;
  /** Absolute path; where file systems are mounted, if volumes cannot be made. */
  readonly mountpoint: string;
  /** What to make a pool of that does not exist: a file of `sizeBytes`, or a partition. */
  readonly file?: string;
  readonly sizeBytes?: number;
  readonly device?: string;
  /** Said by the user: the device is a whole disk, and all that is on it may go. */
  readonly wholeDisk?: boolean;
  readonly programs?: ZfsPrograms;
  /** Told what was changed. */
  readonly done?: (step: string) => void;
}

const format = '1';
const smallestPool = 128 * 1024 ** 2;
/** A pool on a whole disk without udev waits half a minute before it fails. */
const createTimeoutMs = 120_000;

/** Why ZFS cannot be used on this host; undefined when it can. */
export async function zfsAvailable(
  programs: ZfsPrograms = zfsPrograms,
): Promise<string | undefined> {
  try {
    await run(programs.zpool, ['list', '-H', '-o', 'name'], { timeout: 20_000 });
    await run(programs.zfs, ['list', '-H', '-o', 'name'], { timeout: 20_000 });
    return undefined;
  } catch (error) {
    if (!(error instanceof CoppiceError)) throw error;
    // "no datasets available" is an answer.
    if (/no datasets available/.test(error.message)) return undefined;
    if (error.code === 'prerequisite_missing') return error.message;
    return error.message.split('\n').slice(1).join(' ').trim() || error.message;
  }
}

/**
 * @throws CoppiceError `prerequisite_missing` without ZFS, `invalid_input`, `wrong_state` for a pool that is
 * not healthy or a dataset that is not ours, `no_space`
 */
export async function initZfs(setup: ZfsSetup): Promise<ZfsPlace> {
  const { programs = zfsPrograms, pool, prefix, mountpoint } = setup;
  checkPlaceNames(setup);
  if (!path.isAbsolute(mountpoint)) throw invalid('The mount point has to be an absolute path.');
  await requireZfs(programs);
  await havePool(programs, setup);
  const root = rootOf(setup);
  await haveRoot(programs, root, setup);
  for (const child of ['images', 'heads', 'tmp']) {
    await zfsUnless(programs, ['exists'], ['create', `${root}/${child}`]);
  }
  return { pool, prefix, ...(await haveMode(programs, root)) };
}

async function requireZfs(programs: ZfsPrograms): Promise<void> {
  const unavailable = await zfsAvailable(programs);
  if (unavailable === undefined) return;
  throw new CoppiceError({
    code: 'prerequisite_missing',
    message: `ZFS cannot be used on this host: ${unavailable}`,
    next: 'Install OpenZFS and load its module (modprobe zfs), or use the qcow2 storage.',
  });
}

/** What initZfs found out and recorded. @throws CoppiceError `prerequisite_missing` */
export async function readZfsPlace(
  place: Pick<ZfsPlace, 'pool' | 'prefix'>,
  programs: ZfsPrograms = zfsPrograms,
): Promise<ZfsPlace> {
  checkPlaceNames(place);
  const recorded = await recordedMode(programs, rootOf(place)).catch(async (error: unknown) => {
    await requireZfs(programs);
    throw error;
  });
  if (recorded !== undefined) return { pool: place.pool, prefix: place.prefix, ...recorded };
  throw new CoppiceError({
    code: 'prerequisite_missing',
    message: `The ZFS dataset ${rootOf(place)} is not set up for Coppice, or its pool is not imported.`,
    next: 'Import the pool (zpool import), or set the storage up: coppice storage init zfs.',
    details: place,
  });
}

async function havePool(programs: ZfsPrograms, setup: ZfsSetup): Promise<void> {
  const { pool } = setup;
  const found = await run(programs.zpool, ['list', '-H', '-o', 'health', pool]).catch(
    (error: unknown) => {
      if (/no such pool/.test((error as Error).message)) return undefined;
      throw error;
    },
  );
  const health = found?.stdout.trim();
  if (health === 'ONLINE' || health === 'DEGRADED') return;
  if (health !== undefined) {
    throw new CoppiceError({
      code: 'wrong_state',
      message: `The pool ${pool} is ${health}.`,
      next: `See zpool status ${pool}, and repair it first.`,
    });
  }
  const vdev = await vdevOf(setup);
  await run(programs.zpool, ['create', '-O', 'mountpoint=none', '-O', 'atime=off', pool, vdev], {
    timeout: createTimeoutMs,
  });
  setup.done?.(`Made the pool ${pool} on ${vdev}`);
}

async function vdevOf({ pool, file, sizeBytes, device, wholeDisk }: ZfsSetup): Promise<string> {
  if ((file === undefined) === (device === undefined)) {
    throw invalid(`There is no pool ${pool}; name a file or a partition to make it of.`);
  }
  if (file !== undefined) {
    if (!path.isAbsolute(file)) throw invalid('The file of the pool has to be an absolute path.');
    await makePoolFile(file, sizeBytes);
    return file;
  }
  const node = await realpath(device ?? '').catch(() => undefined);
  if (node === undefined || !(await stat(node)).isBlockDevice()) {
    throw invalid(`${device ?? ''} is no block device.`);
  }
  // Of all block devices only whole disks have hardware behind them.
  const hardware = path.join('/sys/class/block', path.basename(node), 'device');
  const isWhole = await stat(hardware).then(
    () => true,
    () => false,
  );
  if (isWhole && wholeDisk !== true) {
    throw invalid(`${node} is a whole disk: say so if all of it may be used, or name a partition.`);
  }
  return node;
}

/** A file that is there already is taken as it is: zpool itself refuses one that belongs to a pool. */
async function makePoolFile(file: string, bytes: number | undefined): Promise<void> {
  const facts = await stat(file).catch(() => undefined);
  if (facts !== undefined) {
    if (facts.isFile() && facts.size >= smallestPool) return;
    throw invalid(`${file} exists and is no file that a pool could be made of.`);
  }
  if (bytes === undefined) throw invalid(`There is no file ${file}; say how large to make it.`);
  if (bytes < smallestPool) {
    throw invalid(`A pool takes ${String(smallestPool / 1024 ** 2)} MiB or more.`);
  }
  const handle = await open(file, 'wx', 0o600);
  await handle.truncate(bytes).finally(() => handle.close());
}

async function haveRoot(
  programs: ZfsPrograms,
  root: string,
  { mountpoint, done }: ZfsSetup,
): Promise<void> {
  const mark = `${formatProperty}=${format}`;
  const found = await zfsGet(programs, root, [formatProperty, 'type'], { recursive: true });
  const own = found.get(root);
  if (own === undefined) {
    const options = ['-o', `mountpoint=${mountpoint}`, '-o', mark];
    await zfs(programs, ['create', '-p', ...options, root]);
    done?.(`Made the dataset ${root}`);
    return;
  }
  const known = own.get(formatProperty);
  if (known === format) return;
  if (known !== '-' && known !== undefined) {
    throw notOurs(root, `was made by another version of Coppice (format ${known})`);
  }
  if (found.size > 1 || own.get('type') !== 'filesystem') throw notOurs(root, 'holds other data');
  await zfs(programs, ['set', `mountpoint=${mountpoint}`, root]);
  await zfs(programs, ['set', mark, root]);
  done?.(`Adopted the empty dataset ${root}`);
}

type Recorded = Pick<ZfsPlace, 'mode' | 'dialect'>;

async function recordedMode(programs: ZfsPrograms, root: string): Promise<Recorded | undefined> {
  const found = (await zfsGet(programs, root, [modeProperty, dialectProperty])).get(root);
  const mode = found?.get(modeProperty);
  const dialect = found?.get(dialectProperty);
  if (mode !== 'zvol' && mode !== 'file') return undefined;
  if (dialect !== 'openzfs' && dialect !== 'fuse') return undefined;
  return { mode, dialect };
}

/** Finds out what this ZFS can, by trying, and keeps the answer with the data made in that way. */
async function haveMode(programs: ZfsPrograms, root: string): Promise<Recorded> {
  const recorded = await recordedMode(programs, root);
  if (recorded !== undefined) return recorded;
  const dialect = (await knowsWritten(programs, root)) ? 'openzfs' : 'fuse';
  const mode = dialect === 'openzfs' && (await canMakeVolumes(programs, root)) ? 'zvol' : 'file';
  if (dialect === 'openzfs') await zfs(programs, ['set', 'compression=on', root]);
  await zfs(programs, ['set', `${dialectProperty}=${dialect}`, root]);
  await zfs(programs, ['set', `${modeProperty}=${mode}`, root]);
  return { mode, dialect };
}

/** zfs-fuse is of a time before this property. */
async function knowsWritten(programs: ZfsPrograms, root: string): Promise<boolean> {
  try {
    await zfs(programs, ['get', '-Hp', '-o', 'value', 'written', root]);
    return true;
  } catch (error) {
    if (refusalOf(error) === undefined) throw error;
    return false;
  }
}

async function canMakeVolumes(programs: ZfsPrograms, root: string): Promise<boolean> {
  const probe = `${root}/probe`;
  try {
    const options = ['-s', '-o', 'volmode=dev', '-V', '1048576'];
    await zfsUnless(programs, ['exists'], ['create', ...options, probe]);
    await zfs(programs, ['destroy', probe]);
    return true;
  } catch (error) {
    if (refusalOf(error) === undefined || saysNoSpace(error)) throw error;
    return false;
  }
}

function invalid(message: string): CoppiceError {
  return new CoppiceError({
    code: 'invalid_input',
    message,
    next: 'For example: a file below the state directory with 20 GiB, or a partition set aside for it.',
  });
}

function notOurs(root: string, why: string): CoppiceError {
  return new CoppiceError({
    code: 'wrong_state',
    message: `The dataset ${root} ${why}.`,
    next: 'Choose another prefix: nothing that is in it was touched.',
    details: { dataset: root },
  });
}
