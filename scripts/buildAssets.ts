/**
 * Builds everything a first workspace boots from: kernel, agent, initramfs and the default base image. What the
 * cache has is not built again.
 *
 * node scripts/buildAssets.ts [--minimal] [--no-images] [--refresh-images]
 */
import { parseArgs } from 'node:util';
import { asCoppiceError } from '../protocol/errors.ts';
import { buildImage } from '../helper-daemon/images/buildImage.ts';
import type { ImageResult } from '../helper-daemon/images/imageManifest.ts';
import type { OnProgress } from '../helper-daemon/images/progress.ts';
import { loadRecipe } from '../helper-daemon/images/recipe.ts';
import { ensureBootAssets, type BuiltBootAssets } from '../images/bootAssets.ts';
import { progressDisplay } from '../images/progressDisplay.ts';

export interface BuildAssetsOptions {
  /** Names of recipes; debian-dev by default. */
  readonly images?: readonly string[];
  readonly refreshImages?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: OnProgress;
  /** Called as each part is ready. */
  readonly onDone?: (step: string, text: string) => void;
}

export interface BuiltAssets {
  readonly boot: BuiltBootAssets;
  readonly images: readonly ImageResult[];
}

/** The image waits for the network while the kernel keeps the processors busy, so they run together. */
export async function buildAssets(options: BuildAssetsOptions = {}): Promise<BuiltAssets> {
  const failed = new AbortController();
  const signal = AbortSignal.any([
    failed.signal,
    ...(options.signal === undefined ? [] : [options.signal]),
  ]);
  const shared = {
    signal,
    ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
  };
  const jobs = {
    boot: ensureBootAssets({ ...shared, onReady: options.onDone }),
    images: buildImages(options, shared),
  };
  // The first failure stops the rest, and nothing is left running behind the error.
  let first: { readonly error: unknown } | undefined;
  await Promise.all(
    Object.values(jobs).map((job) =>
      job.catch((error: unknown) => {
        first ??= { error };
        failed.abort();
      }),
    ),
  );
  if (first !== undefined) throw first.error;
  return { boot: await jobs.boot, images: await jobs.images };
}

/** One after the other: they want the same mirror and the same disk. */
async function buildImages(
  options: BuildAssetsOptions,
  shared: { readonly signal: AbortSignal; readonly onProgress?: OnProgress },
): Promise<readonly ImageResult[]> {
  const results: ImageResult[] = [];
  for (const name of options.images ?? ['debian-dev']) {
    const result = await buildImage(await loadRecipe(name), {
      ...shared,
      ...(options.refreshImages === undefined ? {} : { refresh: options.refreshImages }),
    });
    options.onDone?.(name, `ready, ${String(Math.round(result.manifest.size / 1024 ** 2))} MiB`);
    results.push(result);
  }
  return results;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      minimal: { type: 'boolean', default: false },
      'no-images': { type: 'boolean', default: false },
      'refresh-images': { type: 'boolean', default: false },
    },
  });
  const interrupted = new AbortController();
  // Not `once`: execa would find no listener left, take the signal for fatal and end the process before the
  // builds have cleaned up.
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => interrupted.abort());
  const display = progressDisplay();
  try {
    await buildAssets({
      images: values['no-images']
        ? []
        : ['debian-dev', ...(values.minimal ? ['debian-minimal'] : [])],
      refreshImages: values['refresh-images'],
      signal: interrupted.signal,
      onProgress: (progress) => display.update(progress),
      onDone: (step, text) => display.done(step, text),
    });
  } catch (error) {
    const { message, next } = asCoppiceError(error);
    process.exitCode = interrupted.signal.aborted ? 130 : 1;
    display.close();
    process.stderr.write(`${message}\n${next === undefined ? '' : `${next}\n`}`);
  } finally {
    display.close();
  }
}

if (import.meta.main) await main();
