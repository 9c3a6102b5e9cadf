/** Finds and checks the kernel and initramfs that every VM of this daemon boots. */
import { access, readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
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
  /** The cache of whoever built them: a daemon of another user has a different one. */
  cache: z.string().startsWith('/').optional(),
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
    throw bootAssetsMissing(
      `${path} cannot be used (${(error as Error).message.split('\n')[0] ?? ''}).`,
    );
  }
  const verified = async (asset: BootAssetsFile['vmlinux']): Promise<string> => {
    const absolute = await locate(asset.path, [
      cacheDir(env),
      ...(file.cache === undefined ? [] : [file.cache]),
    ]);
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

/** In the first cache that has it; the first of all where none has, for the message. */
async function locate(path: string, caches: readonly string[]): Promise<string> {
  for (const cache of caches) {
    if (await exists(resolve(cache, path))) return resolve(cache, path);
  }
  return resolve(caches[0] ?? '/', path);
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
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
    if (await exists(candidate)) return candidate;
  }
  throw bootAssetsMissing('dist/boot-assets.json does not exist.');
}
