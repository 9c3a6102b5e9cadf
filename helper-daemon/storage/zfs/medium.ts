/** What a dataset of a disk is: a volume with a device node, or a file system with one raw file in it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { chmod, chown, open, readdir, realpath, stat, truncate } from 'node:fs/promises';
import path from 'node:path';
import { CoppiceError } from '../../../protocol/errors.ts';
import { run } from '../../system/run.ts';
import type { Account } from '../../system/users.ts';
import { layerMissing } from '../storageErrors.ts';
import { ownerProperty, type ZfsPlace } from './names.ts';
import { zfs, zfsGet, zfsUnless, type ZfsPrograms } from './zfsCommand.ts';

export interface ZfsMedium {
  /** An empty disk. `properties` are set with it in one step. */
  create(dataset: string, bytes: number, properties?: readonly string[]): Promise<void>;
  clone(snapshot: string, dataset: string, properties?: readonly string[]): Promise<void>;
  /** Size of a disk. */
  bytes(dataset: string): Promise<number>;
  grow(dataset: string, bytes: number): Promise<void>;
  /** Lets the account of a machine, and nobody else but root, use the disk. */
  give(dataset: string, owner: Account | undefined): Promise<void>;
  /** What to open; found anew each time, since nodes and mounts change. @throws CoppiceError `layer_missing` */
  path(dataset: string): Promise<string>;
}

export interface DeviceOptions {
  /** Default /dev. */
  readonly devices: string;
  /** How long a device node may take to appear. */
  readonly patienceMs: number;
}

/** Set always: its default is 8 KiB in some versions and 16 KiB in others. */
const volumeBlock = 16 * 1024;
const scanEveryMs = 500;

export function volumeMedium(programs: ZfsPrograms, options: DeviceOptions): ZfsMedium {
  // Otherwise the host looks for partitions in what guests write.
  const asDevice = ['-o', 'volmode=dev'];
  const rounded = (bytes: number): string => String(Math.ceil(bytes / volumeBlock) * volumeBlock);

  return {
    async create(dataset, bytes, properties = []) {
      const block = ['-o', `volblocksize=${String(volumeBlock)}`];
      await zfs(programs, [
        ...['create', '-s', ...asDevice, ...block, ...properties],
        ...['-V', rounded(bytes), dataset],
      ]);
    },
    async clone(snapshot, dataset, properties = []) {
      await zfs(programs, ['clone', ...asDevice, ...properties, snapshot, dataset]);
    },
    async bytes(dataset) {
      const found = (await zfsGet(programs, dataset, ['volsize'])).get(dataset);
      if (found === undefined) throw layerMissing(dataset);
      return Number(found.get('volsize'));
    },
    async grow(dataset, bytes) {
      await zfs(programs, ['set', `volsize=${rounded(bytes)}`, dataset]);
    },
    async give(dataset, owner) {
      // A node is made anew at every start of the host, so the account is kept with the volume.
      if (owner === undefined) return;
      const ids = `${String(owner.uid)}:${String(owner.gid)}`;
      await zfs(programs, ['set', `${ownerProperty}=${ids}`, dataset]);
    },
    async path(dataset) {
      const found = (await zfsGet(programs, dataset, ['type', ownerProperty])).get(dataset);
      if (found === undefined) throw layerMissing(dataset);
      const node = await findNode(programs, options, dataset);
      const [uid, gid] = /^(\d+):(\d+)$/.exec(found.get(ownerProperty) ?? '')?.slice(1) ?? [];
      if (uid !== undefined && gid !== undefined) {
        await chown(node, Number(uid), Number(gid));
        await chmod(node, 0o600);
      }
      return node;
    },
  };
}

/** With udev there is a link by name, some milliseconds late; without, nodes have to be asked for their volume. */
async function findNode(
  programs: ZfsPrograms,
  { devices, patienceMs }: DeviceOptions,
  dataset: string,
): Promise<string> {
  const named = path.join(devices, 'zvol', dataset);
  const deadline = Date.now() + patienceMs;
  for (let scanAt = Date.now() + scanEveryMs; ;) {
    const node = await realpath(named).catch(() => undefined);
    if (node !== undefined) return node;
    const over = Date.now() >= deadline;
    if (over || Date.now() >= scanAt) {
      const scanned = await scanNodes(programs, devices, dataset);
      if (scanned !== undefined) return scanned;
      scanAt = Date.now() + scanEveryMs;
    }
    if (over) break;
    await sleep(20);
  }
  throw new CoppiceError({
    code: 'prerequisite_missing',
    message: `The volume ${dataset} got no device node within ${String(patienceMs / 1000)} s.`,
    next: 'Check that udev runs, or that zvol_id of OpenZFS is installed.',
    details: { dataset },
  });
}

async function scanNodes(
  programs: ZfsPrograms,
  devices: string,
  dataset: string,
): Promise<string | undefined> {
  for (const name of await readdir(devices)) {
    if (!/^zd\d+$/.test(name)) continue;
    const node = path.join(devices, name);
    const volume = await run(programs.zvolId, [node]).catch(() => undefined);
    if (volume?.stdout.trim() === dataset) return node;
  }
  return undefined;
}

const diskFile = 'disk.raw';

export function fileMedium(programs: ZfsPrograms, dialect: ZfsPlace['dialect']): ZfsMedium {
  /** Copy on write and metadata need some room beyond the disk; zfs-fuse has died at this limit. */
  async function limit(dataset: string, bytes: number): Promise<void> {
    if (dialect === 'fuse') return;
    const room = bytes + Math.ceil(bytes / 8) + 64 * 1024 ** 2;
    await zfs(programs, ['set', `refquota=${String(room)}`, dataset]);
  }

  async function fileOf(dataset: string): Promise<string> {
    const found = (await zfsGet(programs, dataset, ['mounted', 'mountpoint'])).get(dataset);
    const place = found?.get('mountpoint');
    if (found === undefined || place === undefined) throw layerMissing(dataset);
    if (!path.isAbsolute(place)) {
      throw new CoppiceError({
        code: 'wrong_state',
        message: `The dataset ${dataset} has no mount point.`,
        next: 'Set the mountpoint property of the dataset of Coppice to a directory.',
      });
    }
    if (found.get('mounted') !== 'yes') await zfsUnless(programs, [], ['mount', dataset]);
    return path.join(place, diskFile);
  }

  return {
    async create(dataset, bytes, properties = []) {
      await zfs(programs, ['create', ...properties, dataset]);
      await limit(dataset, bytes);
      const file = await fileOf(dataset);
      await chmod(path.dirname(file), 0o711);
      const handle = await open(file, 'wx', 0o600);
      await handle.truncate(bytes).finally(() => handle.close());
    },
    async clone(snapshot, dataset, properties = []) {
      await zfs(programs, ['clone', ...properties, snapshot, dataset]);
    },
    async bytes(dataset) {
      return (await stat(await fileOf(dataset))).size;
    },
    async grow(dataset, bytes) {
      await limit(dataset, bytes);
      await truncate(await fileOf(dataset), bytes);
    },
    async give(dataset, owner) {
      const file = await fileOf(dataset);
      await chmod(file, 0o600);
      const uid = owner?.uid ?? process.getuid?.() ?? 0;
      await chown(file, uid, owner?.gid ?? process.getgid?.() ?? 0);
    },
    path: fileOf,
  };
}
