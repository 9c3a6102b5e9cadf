/**
 * Builds the guest kernel: the distribution's source, tinyconfig, guest.fragment, and nothing else.
 *
 * The result does not depend on where, when or by whom it is built: the tree is configured in place (so
 * every path the compiler sees is relative), and the build's user, host, time and locale are fixed.
 */
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { run } from '../../helper-daemon/system/run.ts';
import { cacheDir } from '../../helper-daemon/images/cacheDir.ts';
import { cached, type CacheEntry } from '../../helper-daemon/images/contentCache.ts';
import { digestText } from '../../helper-daemon/images/fileDigest.ts';
import { invalidInput } from '../../helper-daemon/images/imageErrors.ts';
import { signalOf, type WorkOptions } from '../../helper-daemon/images/progress.ts';
import { withWorkDirectory } from '../../helper-daemon/images/workDirectory.ts';
import { unmetLines } from './checkConfig.ts';
import { findKernelSource, type KernelSource } from './kernelSource.ts';
import { optionalOptions } from './optionalOptions.ts';

/** Raise it when the steps below change what comes out. */
const builderVersion = 1;
const fragmentPath = join(import.meta.dirname, 'guest.fragment');

/** Part of what a compiled kernel contains; the same everywhere. */
const buildEnvironment = {
  KBUILD_BUILD_TIMESTAMP: 'Mon Jan  1 00:00:00 UTC 2024',
  KBUILD_BUILD_USER: 'coppice',
  KBUILD_BUILD_HOST: 'coppice',
  KBUILD_BUILD_VERSION: '1',
  LC_ALL: 'C',
  TZ: 'UTC',
  // A caller's make or compiler settings must not leak into the kernel.
  MAKEFLAGS: '',
  KCPPFLAGS: '',
  KAFLAGS: '',
} as const;

/** Parts of the source that no microVM driver is compiled from. Kconfig files stay: Kconfig reads them all. */
const unneeded = [
  'arch/alpha',
  'arch/arc',
  'arch/arm',
  'arch/arm64',
  'arch/csky',
  'arch/hexagon',
  'arch/ia64',
  'arch/loongarch',
  'arch/m68k',
  'arch/microblaze',
  'arch/mips',
  'arch/nios2',
  'arch/openrisc',
  'arch/parisc',
  'arch/powerpc',
  'arch/riscv',
  'arch/s390',
  'arch/sh',
  'arch/sparc',
  'arch/xtensa',
  'drivers/gpu/drm',
  'drivers/infiniband',
  'drivers/media',
  'drivers/net/ethernet',
  'drivers/net/wireless',
  'drivers/staging',
  'sound',
  'tools/testing',
] as const;

/** The unpacked source and its objects. */
const neededSpace = 2 * 1024 ** 3;
/** Compiler calls of a 6.1 build; only scales the progress display. */
const expectedSteps = 1900;

export async function buildKernel(
  options: WorkOptions & { readonly root?: string; readonly refresh?: boolean } = {},
): Promise<CacheEntry> {
  const source = await findKernelSource();
  const fragment = await readFile(fragmentPath, 'utf8');
  const compiler = (await run('gcc', ['--version'])).stdout.split('\n')[0] ?? '';
  const root = options.root ?? cacheDir();
  return cached({
    kind: 'kernel',
    root,
    inputs: {
      builderVersion,
      fragment: digestText(fragment),
      optional: Object.keys(optionalOptions),
      source: `linux-source-${source.series} ${source.identity}`,
      compiler,
    },
    build: (dir) =>
      withWorkDirectory(root, 'kernel', neededSpace, async (tree) => {
        const release = await compile(source, fragment, tree, join(dir, 'vmlinux'), options);
        await copyFile(join(tree, '.config'), join(dir, 'config'));
        return { kernelRelease: release, compiler };
      }),
    ...(options.refresh === undefined ? {} : { refresh: options.refresh }),
    ...signalOf(options),
    onWait: () =>
      options.onProgress?.({ step: 'kernel', detail: 'another process is building it' }),
  });
}

async function compile(
  source: KernelSource,
  fragment: string,
  tree: string,
  output: string,
  options: WorkOptions,
): Promise<string> {
  const report = (detail: string, fraction: number): void =>
    options.onProgress?.({ step: 'kernel', detail, fraction });
  const make = async (
    args: readonly string[],
    onLine?: (line: string) => void,
  ): Promise<string> => {
    const { stdout } = await run('make', [`KCFLAGS=-ffile-prefix-map=${tree}=.`, ...args], {
      cwd: tree,
      env: buildEnvironment,
      group: true,
      ...(onLine === undefined ? {} : { onLine }),
      ...signalOf(options),
    });
    return stdout;
  };

  report(`unpacking linux ${source.series}`, 0);
  await unpack(source.tarball, tree, options);
  report('configuring', 0.03);
  await make(['tinyconfig']);
  await writeFile(join(tree, 'coppice.fragment'), fragment);
  await run('scripts/kconfig/merge_config.sh', ['-m', '.config', 'coppice.fragment'], {
    cwd: tree,
    env: buildEnvironment,
    ...signalOf(options),
  });
  await make(['olddefconfig']);
  const unmet = unmetLines(
    fragment,
    await readFile(join(tree, '.config'), 'utf8'),
    optionalOptions,
  );
  if (unmet.length > 0) {
    throw invalidInput(
      `Linux ${source.series} does not take these lines of images/kernel/guest.fragment:\n${unmet.join('\n')}`,
      'Correct the fragment, or list the option in images/kernel/optionalOptions.ts with its reason.',
    );
  }
  await make([`-j${String(availableParallelism())}`, 'vmlinux'], compileProgress(report));
  await run('strip', ['--strip-all', '-o', output, join(tree, 'vmlinux')], signalOf(options));
  return (await make(['-s', 'kernelrelease'])).trim();
}

async function unpack(tarball: string, tree: string, options: WorkOptions): Promise<void> {
  const excluded = unneeded.flatMap((path) =>
    ['c', 'h', 'S', 'dts', 'dtsi'].map((kind) => `--exclude=*/${path}/*.${kind}`),
  );
  const decompress = tarball.endsWith('.xz') ? ['--use-compress-program=xz -T0'] : [];
  await run(
    'tar',
    [
      ...decompress,
      '--extract',
      '--strip-components=1',
      '--no-same-owner',
      `--file=${tarball}`,
      `--directory=${tree}`,
      '--exclude=*/Documentation/*/*',
      ...excluded,
    ],
    signalOf(options),
  );
}

function compileProgress(
  report: (detail: string, fraction: number) => void,
): (line: string) => void {
  let steps = 0;
  let last = 0;
  return (line) => {
    if (!/^\s+(CC|AS|AR|LD|HOSTCC)\s/.test(line)) return;
    steps += 1;
    if (steps - last < 20) return;
    last = steps;
    report(line.trim(), 0.05 + 0.94 * Math.min(1, steps / expectedSteps));
  };
}
