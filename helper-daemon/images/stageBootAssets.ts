/**
 * In system mode QEMU runs under accounts that cannot look into the cache of whoever built the kernel:
 * they get a copy in the state directory, named by its digest.
 */
import { randomUUID } from 'node:crypto';
import { chmod, copyFile, constants, rename, stat } from 'node:fs/promises';
import path from 'node:path';
import { makeDirectory } from '../system/directory.ts';
import type { BootAssets } from './bootAssets.ts';

export async function stageBootAssets(assets: BootAssets, directory: string): Promise<BootAssets> {
  await makeDirectory(directory, 0o711);
  const stage = async (file: string, sha256: string): Promise<string> => {
    const staged = path.join(directory, sha256);
    if (await exists(staged)) return staged;
    const partial = `${staged}.${randomUUID()}`;
    await copyFile(file, partial, constants.COPYFILE_FICLONE);
    await chmod(partial, 0o444);
    await rename(partial, staged);
    return staged;
  };
  return {
    ...assets,
    vmlinux: await stage(assets.vmlinux, assets.vmlinuxSha256),
    initramfs: await stage(assets.initramfs, assets.initramfsSha256),
  };
}

async function exists(file: string): Promise<boolean> {
  return await stat(file).then(
    () => true,
    () => false,
  );
}
