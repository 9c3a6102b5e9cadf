import { chmod, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { canReflink } from '../../../helper-daemon/storage/reflink/cloneFile.ts';
import { reflinkStorage, requireReflink } from '../../../helper-daemon/storage/reflink.ts';
import { conformance } from './conformance.ts';
import { mib } from './disks.ts';
import { isRoot, mountLoop, mountTmpfs } from './mounts.ts';

const kinds = [
  { name: 'xfs', mkfs: ['mkfs.xfs', '-q', '-m', 'reflink=1'], bytes: 400 * mib },
  { name: 'btrfs', mkfs: ['mkfs.btrfs', '-q'], bytes: 400 * mib },
] as const;

describe.skipIf(!isRoot)('on a file system of its own, which needs root', () => {
  for (const { name, mkfs, bytes } of kinds) {
    conformance(`reflink on ${name}`, async () => {
      const mount = await mountLoop(mkfs, bytes);
      const images = path.join(mount.directory, 'images');
      const work = path.join(mount.directory, 'work');
      await mkdir(images);
      await mkdir(work);
      await chmod(path.dirname(mount.directory), 0o755);
      await requireReflink(mount.directory);
      return { ...mount, images, work, open: () => reflinkStorage({ state: mount.directory }) };
    });
  }

  it('a file system that cannot share blocks is refused by name', async () => {
    const mount = await mountTmpfs(16 * mib);
    try {
      expect(await canReflink(mount.directory)).toBe(false);
      await expect(requireReflink(mount.directory)).rejects.toMatchObject({
        code: 'prerequisite_missing',
      });
    } finally {
      await mount.close();
    }
  });
});
