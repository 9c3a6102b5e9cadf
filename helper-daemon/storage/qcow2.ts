/** Disks as qcow2 overlays: any file system, no root, no preparation. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { CoppiceError } from '../../protocol/errors.ts';
import { run } from '../system/run.ts';
import type { DiskImage, StorageBackend } from './backend.ts';

/** Subclusters keep small random writes small: measured, 32 layers take 271 MiB instead of 3,883. */
const layout = 'extended_l2=on,cluster_size=128k,lazy_refcounts=off';

export function qcow2Storage(): StorageBackend {
  return {
    name: 'qcow2',
    head,
    async createHead({ directory, id, base, sizeBytes }) {
      if (sizeBytes < base.virtualBytes) {
        const needed = Math.ceil(base.virtualBytes / 1024 ** 3);
        throw new CoppiceError({
          code: 'invalid_input',
          message: `The disk cannot be smaller than its image (${String(needed)} GiB).`,
          next: `Ask for disk_gb ${String(needed)} or more.`,
        });
      }
      const disk = head(directory, id);
      const options = `${layout},backing_fmt=${base.format}`;
      await run('qemu-img', [
        ...['create', '-q', '-f', 'qcow2', '-o', options],
        ...['-b', base.path, disk.path, String(sizeBytes)],
      ]);
      return disk;
    },
    async usedBytes(disk) {
      const { blocks } = await stat(disk.path);
      return blocks * 512;
    },
  };
}

function head(directory: string, id: string): DiskImage {
  return { path: path.join(directory, `${id}.qcow2`), format: 'qcow2' };
}
