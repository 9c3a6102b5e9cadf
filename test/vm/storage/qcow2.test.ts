import { chmod, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { describe } from 'vitest';
import { qcow2Storage } from '../../../helper-daemon/storage/qcow2.ts';
import { conformance } from './conformance.ts';
import { mib } from './disks.ts';
import { isRoot, mountTmpfs } from './mounts.ts';

describe.skipIf(!isRoot)('on a file system of its own, which needs root', () => {
  conformance('qcow2', async () => {
    const mount = await mountTmpfs(192 * mib);
    const images = path.join(mount.directory, 'images');
    const work = path.join(mount.directory, 'work');
    await mkdir(images);
    await mkdir(work);
    await chmod(path.dirname(mount.directory), 0o755);
    return { ...mount, images, work, open: () => qcow2Storage({ state: mount.directory }) };
  });
});
