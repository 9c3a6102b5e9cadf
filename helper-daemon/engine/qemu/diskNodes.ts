/** The block nodes behind a machine's disk: what is open now, and moving to another file. */
import { randomUUID } from 'node:crypto';
import { CoppiceError } from '../../../protocol/errors.ts';
import type { DiskFile } from '../machine.ts';
import { asObject, type Qmp } from './qmp.ts';

/**
 * Writeback through the host's page cache: a guest's flush is the host's fsync, so what the guest was
 * told is durable survives a crash of the host. `discard` gives freed blocks back to the host.
 */
export function diskNode(disk: DiskFile, nodeName: string): Readonly<Record<string, unknown>> {
  return {
    driver: disk.format,
    'node-name': nodeName,
    discard: 'unmap',
    cache: { direct: false, 'no-flush': false },
    file: {
      driver: 'file',
      filename: disk.path,
      aio: 'threads',
      discard: 'unmap',
      cache: { direct: false, 'no-flush': false },
    },
  };
}

export interface CurrentDisk {
  readonly nodeName: string;
  readonly path: string;
}

/** What the machine writes to now; undefined when it has no disk. */
export async function currentDisk(qmp: Qmp): Promise<CurrentDisk | undefined> {
  for (const device of asArray(await qmp.execute('query-block'))) {
    const inserted = asObject(device['inserted']);
    const nodeName = inserted['node-name'];
    const file = filePath(inserted['file']);
    if (typeof nodeName === 'string' && file !== undefined) return { nodeName, path: file };
  }
  return undefined;
}

/** A node whose backing is not the one its header names is shown as JSON. */
function filePath(file: unknown): string | undefined {
  if (typeof file !== 'string') return undefined;
  if (!file.startsWith('json:')) return file;
  try {
    const { filename } = asObject(asObject(JSON.parse(file.slice(5)))['file']);
    return typeof filename === 'string' ? filename : undefined;
  } catch {
    return undefined;
  }
}

export interface DiskSwitch {
  /** The machine stands still and its disk is flushed. */
  commit(): Promise<void>;
  /** Instead of commit, also when that failed. */
  abort(): Promise<void>;
}

/** Opens the next disk beside the current one, so that the switch itself is one command. */
export async function prepareSwitch(qmp: Qmp, next: DiskFile): Promise<DiskSwitch> {
  const current = await currentDisk(qmp);
  if (current === undefined || next.format !== 'qcow2') {
    throw new CoppiceError({
      code: 'invalid_input',
      message: 'A machine can only move from its disk to a qcow2 file that stands on it.',
    });
  }
  // Node names have 31 characters at most and are never used twice.
  const nodeName = `disk-${randomUUID().replaceAll('-', '').slice(0, 24)}`;
  await qmp.execute('blockdev-add', { ...diskNode(next, nodeName), backing: null });
  return {
    async commit() {
      await qmp.execute('blockdev-snapshot', { node: current.nodeName, overlay: nodeName });
    },
    async abort() {
      await qmp.execute('blockdev-del', { 'node-name': nodeName });
    },
  };
}

function asArray(value: unknown): readonly Readonly<Record<string, unknown>>[] {
  return Array.isArray(value) ? value.map(asObject) : [];
}
