/** Kernel, agent and initramfs: built where missing, then named for the daemon in dist/boot-assets.json. */
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BootAssetsFile } from '../helper-daemon/images/bootAssets.ts';
import { cacheDir } from '../helper-daemon/images/cacheDir.ts';
import type { CacheEntry } from '../helper-daemon/images/contentCache.ts';
import { imageCorrupt } from '../helper-daemon/images/imageErrors.ts';
import { signalOf, type WorkOptions } from '../helper-daemon/images/progress.ts';
import { agentBinary, buildAgent } from './agent/buildAgent.ts';
import { buildInitramfs } from './initramfs/buildInitramfs.ts';
import { buildKernel } from './kernel/buildKernel.ts';

const dist = join(import.meta.dirname, '../dist');

export interface BuiltBootAssets {
  readonly vmlinux: string;
  readonly initramfs: string;
  readonly kernel: CacheEntry;
  readonly agent: CacheEntry;
  readonly file: string;
}

export interface BootAssetsOptions extends WorkOptions {
  readonly root?: string;
  /** Where boot-assets.json goes; the checkout's dist by default. */
  readonly outDir?: string;
  /** Build the kernel again even when the cache has it. */
  readonly refresh?: boolean;
  /** Called as kernel and agent are ready. */
  readonly onReady?: ((step: string, text: string) => void) | undefined;
}

export async function ensureBootAssets(options: BootAssetsOptions = {}): Promise<BuiltBootAssets> {
  // One failure stops the other build instead of leaving it running behind the error.
  const failed = new AbortController();
  const signal = AbortSignal.any([failed.signal, ...Object.values(signalOf(options))]);
  const shared = { ...options, signal };
  const whole = <T>(work: Promise<T>): Promise<T> =>
    work.catch((error: unknown) => {
      failed.abort();
      throw error;
    });
  const [kernel, [agent, initramfs]] = await allOrFirstError([
    whole(buildKernel(shared).then(announced('kernel', options))),
    whole(
      (async () => {
        const built = announced('agent', options)(await buildAgent(shared));
        return [built, await buildInitramfs(agentBinary(built), shared)] as const;
      })(),
    ),
  ]);
  const file = await writeAssetsFile(options, kernel, agent, initramfs);
  return {
    vmlinux: join(kernel.dir, 'vmlinux'),
    initramfs: join(initramfs.dir, 'initramfs.cpio'),
    kernel,
    agent,
    file,
  };
}

function announced(step: string, options: BootAssetsOptions): (entry: CacheEntry) => CacheEntry {
  return (entry) => {
    const seconds = `built in ${String(Math.round(entry.manifest.seconds))} s`;
    options.onReady?.(step, entry.built ? seconds : 'ready, from the cache');
    return entry;
  };
}

/** Waits for both, so that nothing runs on after the error; throws the error that came first. */
async function allOrFirstError<A, B>(
  work: readonly [Promise<A>, Promise<B>],
): Promise<readonly [A, B]> {
  let first: { readonly error: unknown } | undefined;
  const note = (error: unknown): void => void (first ??= { error });
  await Promise.all(work.map((one) => one.then(undefined, note)));
  if (first !== undefined) throw first.error;
  return [await work[0], await work[1]];
}

async function writeAssetsFile(
  options: BootAssetsOptions,
  kernel: CacheEntry,
  agent: CacheEntry,
  initramfs: CacheEntry,
): Promise<string> {
  const outDir = options.outDir ?? dist;
  const content: BootAssetsFile = {
    version: 1,
    cache: options.root ?? cacheDir(),
    vmlinux: fileOf(kernel, 'vmlinux'),
    initramfs: fileOf(initramfs, 'initramfs.cpio'),
    kernelRelease: textFact(kernel, 'kernelRelease'),
    agentVersion: textFact(agent, 'agentVersion'),
  };
  await mkdir(outDir, { recursive: true });
  const path = join(outDir, 'boot-assets.json');
  const temp = `${path}.${String(process.pid)}`;
  await writeFile(temp, `${JSON.stringify(content, null, 2)}\n`);
  await rename(temp, path);
  return path;
}

function textFact(entry: CacheEntry, name: string): string {
  const fact = entry.manifest.facts[name];
  return typeof fact === 'string' ? fact : 'unknown';
}

function fileOf(entry: CacheEntry, name: string): BootAssetsFile['vmlinux'] {
  const facts = entry.manifest.files[name];
  if (facts === undefined) throw imageCorrupt(`${entry.dir} holds no ${name}.`);
  return { path: join(entry.relativeDir, name), ...facts };
}
