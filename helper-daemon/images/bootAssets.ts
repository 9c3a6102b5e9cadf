/** Finds and checks the kernel and initramfs that every VM of this daemon boots. */
import { access, readFile } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import * as z from 'zod';
import { cacheDir } from './cacheDir.ts';
import { verifyFile } from './fileDigest.ts';
import { bootAssetsMissing } from './imageErrors.ts';

const assetSchema = z.object({
  /** Relative to the cache directory. */
  path: z.string().min(1),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  size: z.number().int().positive(),
});

export const bootAssetsFileSchema = z.object({
  version: z.literal(1),
  vmlinux: assetSchema,
  initramfs: assetSchema,
  kernelRelease: z.string().min(1),
  agentVersion: z.string().min(1),
});

export type BootAssetsFile = z.infer<typeof bootAssetsFileSchema>;

export interface BootAssets {
  /** Absolute paths of verified files. */
  readonly vmlinux: string;
  readonly initramfs: string;
  readonly vmlinuxSha256: string;
  readonly initramfsSha256: string;
  readonly kernelRelease: string;
  readonly agentVersion: string;
}

let loaded: Promise<BootAssets> | undefined;

/** Verified once per process. A failure is not remembered: the next call looks again. */
export function loadBootAssets(): Promise<BootAssets> {
  loaded ??= readBootAssets().catch((error: unknown) => {
    loaded = undefined;
    throw error;
  });
  return loaded;
}

export async function readBootAssets(env: NodeJS.ProcessEnv = process.env): Promise<BootAssets> {
  const path = await findAssetsFile(env);
  let file: BootAssetsFile;
  try {
    file = bootAssetsFileSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    throw bootAssetsMissing(`${path} cannot be used (${(error as Error).message.split('\n')[0] ?? ''}).`);
  }
  const root = cacheDir(env);
  const verified = async (asset: BootAssetsFile['vmlinux']): Promise<string> => {
    const absolute = isAbsolute(asset.path) ? asset.path : join(root, asset.path);
    try {
      await verifyFile(absolute, asset);
    } catch (error) {
      throw bootAssetsMissing((error as Error).message);
    }
    return absolute;
  };
  return {
    vmlinux: await verified(file.vmlinux),
    initramfs: await verified(file.initramfs),
    vmlinuxSha256: file.vmlinux.sha256,
    initramfsSha256: file.initramfs.sha256,
    kernelRelease: file.kernelRelease,
    agentVersion: file.agentVersion,
  };
}

/** Beside the bundle; or, when run from the sources, in dist of the checkout. */
async function findAssetsFile(env: NodeJS.ProcessEnv): Promise<string> {
  const chosen = env['COPPICE_BOOT_ASSETS'];
  if (chosen !== undefined && chosen !== '') return chosen;
  const candidates = [
    join(import.meta.dirname, 'boot-assets.json'),
    join(dirname(import.meta.dirname), 'dist', 'boot-assets.json'),
    join(import.meta.dirname, '../../dist', 'boot-assets.json'),
  ];
  for (const candidate of candidates) {
    try {
      await access(candidate);
      return candidate;
    } catch {
      // Not there.
    }
  }
  throw bootAssetsMissing('dist/boot-assets.json does not exist.');
}
