/**
 * Builds a base image from a recipe: mmdebstrap with the host's own apt sources makes a tar, and makeDisk
 * turns that into a disk. Works as root and as an ordinary user with subordinate ids.
 */
import { createReadStream } from 'node:fs';
import { constants, copyFile, mkdir, readFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../system/run.ts';
import { CoppiceError } from '../../protocol/errors.ts';
import {
  hostAptSources,
  hostDistribution,
  sourceLine,
  type AptSource,
  type Distribution,
} from './aptSources.ts';
import { cacheDir } from './cacheDir.ts';
import { cached, type CacheEntry, type Json } from './contentCache.ts';
import { digestText } from './fileDigest.ts';
import type { ImageResult } from './imageManifest.ts';
import { imageCorrupt, prerequisiteMissing } from './imageErrors.ts';
import { makeDisk } from './makeDisk.ts';
import { packageList } from './packageList.ts';
import { signalOf, type WorkOptions } from './progress.ts';
import type { Recipe } from './recipe.ts';
import { withWorkDirectory } from './workDirectory.ts';

/** Raise it when the steps below change what comes out. */
const builderVersion = 1;
const fallbackEpoch = 1_735_689_600;
const diskName = 'disk.qcow2';
const gibibyte = 1024 ** 3;
/** The tar, the file system and the qcow2 file exist at the same time. */
const neededSpace = 3 * gibibyte;
/** Left out as in other slim images; dpkg in the guest leaves them out as well. */
const unneeded = [
  '/usr/share/man/*',
  '/usr/share/info/*',
  '/usr/share/groff/*',
  '/usr/share/lintian/*',
  '/usr/share/doc/*',
  '/usr/share/locale/*',
  '/usr/bin/*-lto-dump-*',
];
const needed = ['/usr/share/doc/*/copyright', '/usr/share/locale/locale.alias'];

export interface BuildImageOptions extends WorkOptions {
  /** A copy is put there; without it the result names the file in the cache. */
  readonly outDir?: string;
  readonly root?: string;
  /** Build again with today's packages even when the cache has the image. */
  readonly refresh?: boolean;
}

export async function buildImage(
  recipe: Recipe,
  options: BuildImageOptions = {},
): Promise<ImageResult> {
  const distribution = await hostDistribution();
  const sources = distribution === undefined ? [] : await hostAptSources(distribution);
  if (distribution === undefined || sources.length === 0) {
    throw prerequisiteMissing(
      'Base images are built from the apt sources of a Debian or Ubuntu host, and this host has none.',
      'Import an image instead: coppice image import NAME FILE takes root file systems, OCI archives and disks.',
    );
  }
  const root = options.root ?? cacheDir();
  const entry = await cached({
    kind: 'images',
    root,
    inputs: {
      builderVersion,
      recipe: JSON.parse(JSON.stringify(recipe)) as Json,
      suite: `${distribution.id} ${distribution.codename}`,
      sources: sources.map(sourceLine),
      unneeded,
      needed,
    },
    build: (dir) =>
      withWorkDirectory(root, 'image', neededSpace, (work) =>
        buildInto(join(dir, diskName), work, recipe, distribution, sources, options),
      ),
    ...(options.refresh === undefined ? {} : { refresh: options.refresh }),
    ...signalOf(options),
    onWait: () =>
      options.onProgress?.({ step: recipe.name, detail: 'another process is building it' }),
  });
  return result(entry, recipe.name, options.outDir);
}

async function buildInto(
  output: string,
  work: string,
  recipe: Recipe,
  distribution: Distribution,
  sources: readonly AptSource[],
  options: WorkOptions,
): Promise<Readonly<Record<string, Json>>> {
  const report = (detail: string, fraction: number): void =>
    options.onProgress?.({ step: recipe.name, detail, fraction });
  const tar = join(work, 'root.tar');
  const epoch = await archiveDate();
  await bootstrap(tar, recipe, distribution, sources, epoch, options, report);
  report('collecting the package list', 0.8);
  const packages = await packageList(createReadStream(tar, { highWaterMark: 1024 * 1024 }));
  const facts = await makeDisk({
    layers: [
      { open: () => createReadStream(tar, { highWaterMark: 1024 * 1024 }), whiteouts: false },
    ],
    extraFiles: [
      ...ownFiles(recipe),
      ...recipe.files.map((file) => ({ ...file, mode: parseInt(file.mode, 8) })),
    ],
    directories: recipe.directories.map(({ path, mode }) => ({ path, mode: parseInt(mode, 8) })),
    workDir: work,
    output,
    seed: `${recipe.name} ${digestText(packages.join('\n'))}`,
    epoch,
    maxBytes: 64 * gibibyte,
    onProgress: (progress) => report(progress.detail ?? '', 0.85),
    ...signalOf(options),
  });
  return {
    recipe: recipe.name,
    distribution: distribution.id,
    suite: distribution.codename,
    packages: packages.length,
    packageListSha256: digestText(packages.join('\n')),
    sourceDateEpoch: epoch,
    builderVersion,
    virtualSize: facts.virtualSize,
    contentBytes: facts.contentBytes,
    files: facts.files,
  };
}

async function bootstrap(
  tar: string,
  recipe: Recipe,
  distribution: Distribution,
  sources: readonly AptSource[],
  epoch: number,
  options: WorkOptions,
  report: (detail: string, fraction: number) => void,
): Promise<void> {
  const args = [
    '--variant=minbase',
    '--architectures=amd64',
    '--format=tar',
    `--include=${recipe.packages.join(',')}`,
    // Kept in the image too: a workspace that loses power is thrown away, not repaired.
    '--dpkgopt=force-unsafe-io',
    ...unneeded.map((path) => `--dpkgopt=path-exclude=${path}`),
    ...needed.map((path) => `--dpkgopt=path-include=${path}`),
    distribution.codename,
    tar,
    ...sources.map(sourceLine),
  ];
  const failures: string[] = [];
  for (const mode of bootstrapModes()) {
    let fraction = 0.02;
    try {
      await run('mmdebstrap', [`--mode=${mode}`, ...args], {
        env: {
          SOURCE_DATE_EPOCH: String(epoch),
          // On disk rather than in memory, and where other user ids may pass.
          TMPDIR: process.env['TMPDIR'] ?? '/var/tmp',
          DEBIAN_FRONTEND: 'noninteractive',
          // Byte code depends on the order of Python's sets otherwise.
          PYTHONHASHSEED: '0',
          PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`,
        },
        group: true,
        onLine: (line) => {
          const step = /^I: (.*)$/.exec(line)?.[1];
          if (step === undefined) return;
          fraction = Math.min(0.75, fraction + 0.07);
          report(step.slice(0, 80), fraction);
        },
        ...signalOf(options),
      });
      return;
    } catch (error) {
      await rm(tar, { force: true });
      if (!(error instanceof CoppiceError) || error.code !== 'command_failed') throw error;
      failures.push(`--mode=${mode}: ${error.message.split('\n').slice(-4).join('\n')}`);
    }
  }
  throw new CoppiceError({
    code: 'command_failed',
    message: `mmdebstrap could not build ${recipe.name}.\n${failures.join('\n')}`,
    next: 'Check that the apt sources answer (apt-get update); an ordinary user also needs user namespaces and entries in /etc/subuid and /etc/subgid.',
  });
}

function bootstrapModes(): readonly string[] {
  return process.getuid?.() === 0 ? ['root', 'unshare'] : ['unshare', 'fakechroot'];
}

/** What every image of ours has on top of its packages. */
function ownFiles(recipe: Recipe): readonly { path: string; content: string }[] {
  const env = { LANG: 'C.UTF-8', ...recipe.env };
  const lines = Object.entries(env).map(([name, value]) => `${name}=${value}\n`);
  return [
    { path: '/etc/hostname', content: 'coppice\n' },
    {
      path: '/etc/hosts',
      content: '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n',
    },
    {
      path: '/etc/resolv.conf',
      content: '# The Coppice agent writes this when it configures the network.\n',
    },
    { path: '/etc/fstab', content: '# The Coppice agent mounts everything.\n' },
    { path: '/etc/default/locale', content: 'LANG=C.UTF-8\n' },
    { path: '/etc/coppice/image.env', content: lines.join('') },
  ];
}

/** When the archive was last published, as far as this host knows: the same packages give the same image. */
async function archiveDate(lists = '/var/lib/apt/lists'): Promise<number> {
  let newest = 0;
  for (const name of await readdir(lists).catch(() => [])) {
    if (!/_(debian|ubuntu)[^/]*_dists_.*_InRelease$/.test(name)) continue;
    const head = await readFile(join(lists, name), 'utf8').catch(() => '');
    const date = Date.parse(/^Date: (.*)$/m.exec(head)?.[1] ?? '');
    if (Number.isFinite(date)) newest = Math.max(newest, Math.floor(date / 1000));
  }
  return newest === 0 ? fallbackEpoch : newest;
}

async function result(
  entry: CacheEntry,
  name: string,
  outDir: string | undefined,
): Promise<ImageResult> {
  const { manifest } = entry;
  const facts = manifest.files[diskName];
  if (facts === undefined) throw imageCorrupt(`${entry.dir} holds no ${diskName}.`);
  let path = join(entry.dir, diskName);
  if (outDir !== undefined) {
    await mkdir(outDir, { recursive: true });
    path = join(outDir, `${name}.qcow2`);
    // A copy, not a link: whoever owns the cache must not own the bytes of a daemon's image.
    await copyFile(join(entry.dir, diskName), path, constants.COPYFILE_FICLONE);
  }
  return {
    path,
    manifest: {
      version: 1,
      name,
      ...facts,
      virtualSize: Number(manifest.facts['virtualSize']),
      provenance: { ...manifest.facts, builtAt: manifest.builtAt, key: manifest.key },
    },
  };
}
