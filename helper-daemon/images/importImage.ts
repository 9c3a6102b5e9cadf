/**
 * Imports an image from whatever people have: a root file system as tar, an OCI layout or docker save archive,
 * a qcow2 or raw disk. The result is one qcow2 file with one ext4 file system; on failure or cancel nothing is
 * left behind.
 */
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { Transform, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { CoppiceError } from '../../protocol/errors.ts';
import { archiveBlobs, directoryBlobs } from './blobStore.ts';
import { asCorrupt, compressionOf, decompressed, openRange } from './compression.ts';
import type { Json } from './contentCache.ts';
import { digestFile } from './fileDigest.ts';
import {
  imageCorrupt,
  imageInvalid,
  imageTooLarge,
  invalidInput,
  noSpace,
  withSpaceError,
} from './imageErrors.ts';
import type { ImageResult } from './imageManifest.ts';
import { importDisk } from './importDisk.ts';
import { identifySource, type ImportSource } from './importSource.ts';
import { makeDisk, type Layer } from './makeDisk.ts';
import {
  resolveImage,
  type ContainerConfig,
  type ContainerImage,
  type ContainerLayer,
} from './ociImage.ts';
import { readStart } from './readStart.ts';
import { signalOf, type WorkOptions } from './progress.ts';
import type { Tree } from './ext4/tree.ts';
import { requireSpace } from './workDirectory.ts';

export interface ImportOptions extends WorkOptions {
  readonly name: string;
  readonly outDir: string;
  /** Most that the image's content, or a disk, may have; 64 GiB by default. */
  readonly maxBytes?: number;
}

interface Job extends WorkOptions {
  readonly workDir: string;
  readonly output: string;
  readonly maxBytes: number;
  readonly name: string;
}

interface Imported {
  readonly virtualSize: number;
  readonly facts: Readonly<Record<string, Json>>;
}

const defaultMaxBytes = 64 * 1024 ** 3;
/** What archives do not date: the same import gives the same bytes whenever it runs. */
const epoch = 1_735_689_600;

/** Mount points and places the agent expects. */
const directories = [
  { path: '/dev', mode: 0o755 },
  { path: '/proc', mode: 0o755 },
  { path: '/sys', mode: 0o755 },
  { path: '/run', mode: 0o755 },
  { path: '/tmp', mode: 0o1777 },
  { path: '/root', mode: 0o700 },
  { path: '/workspace', mode: 0o755 },
];

export async function importImage(source: string, options: ImportOptions): Promise<ImageResult> {
  if (!/^[a-zA-Z0-9][a-zA-Z0-9._-]{0,127}$/.test(options.name)) {
    throw invalidInput(`${options.name} cannot be the name of an image.`);
  }
  await mkdir(options.outDir, { recursive: true });
  const workDir = await mkdtemp(join(options.outDir, '.import-'));
  const job: Job = {
    ...options,
    workDir,
    output: join(workDir, 'disk.qcow2'),
    maxBytes: options.maxBytes ?? defaultMaxBytes,
  };
  try {
    options.onProgress?.({ step: 'image', detail: 'looking at the source', fraction: 0 });
    const found = await identifySource(resolve(source), options.signal);
    if ('size' in found) await requireSpace(options.outDir, found.size);
    const imported = await importAs(found, job);
    options.onProgress?.({ step: 'image', detail: 'computing the digest', fraction: 0.95 });
    const facts = await digestFile(job.output, options.signal);
    const path = join(options.outDir, `${options.name}.qcow2`);
    await rename(job.output, path);
    return {
      path,
      manifest: {
        version: 1,
        name: options.name,
        ...facts,
        virtualSize: imported.virtualSize,
        provenance: { importedFrom: basename(source), kind: found.kind, ...imported.facts },
      },
    };
  } catch (error) {
    throw explained(error, source, options.outDir);
  } finally {
    await rm(workDir, { recursive: true, force: true });
  }
}

async function importAs(source: ImportSource, job: Job): Promise<Imported> {
  switch (source.kind) {
    case 'disk':
      return importDisk({ ...job, source: source.path, size: source.size, format: source.format });
    case 'rootfs': {
      const whole = { path: source.path, start: 0, size: source.size };
      const open = (): Readable =>
        limited(decompressed(openRange(whole), source.compression, job.signal), job);
      return importLayers([{ open, whiteouts: false }], job, { compression: source.compression });
    }
    case 'imageDirectory':
      return importContainer(await resolveImage(directoryBlobs(source.path), job.signal), job);
    case 'imageArchive': {
      const plain = source.compression === 'none' ? source : await unpackedArchive(source, job);
      const store = await archiveBlobs(plain.path, plain.size, job.signal);
      return importContainer(await resolveImage(store, job.signal), job);
    }
  }
}

/** Layers inside an archive are read in place, which a compressed archive does not allow. */
async function unpackedArchive(
  source: ImportSource & { readonly kind: 'imageArchive' },
  job: Job,
): Promise<{ readonly path: string; readonly size: number }> {
  const path = join(job.workDir, 'archive.tar');
  const raw = openRange({ path: source.path, start: 0, size: source.size });
  await pipeline(
    limited(decompressed(raw, source.compression, job.signal), job),
    createWriteStream(path),
    {
      ...signalOf(job),
    },
  );
  return { path, size: (await stat(path)).size };
}

async function importContainer(image: ContainerImage, job: Job): Promise<Imported> {
  if (image.layers.length === 0) throw imageInvalid('The container image has no layers.');
  const layers: Layer[] = [];
  for (const layer of image.layers) {
    layers.push({ open: () => openLayer(layer, job), whiteouts: true });
  }
  const { config } = image;
  return importLayers(
    layers,
    job,
    {
      imageDigest: image.digest,
      layers: layers.length,
      env: config.env,
      workingDir: config.workingDir,
      user: config.user,
      entrypoint: config.entrypoint,
      cmd: config.cmd,
    },
    config,
  );
}

async function openLayer(layer: ContainerLayer, job: Job): Promise<Readable> {
  const head = await readStart(layer.range, 16);
  const plain = limited(decompressed(openRange(layer.range), compressionOf(head), job.signal), job);
  return layer.diffId === undefined ? plain : verified(plain, layer.diffId);
}

async function importLayers(
  layers: readonly Layer[],
  job: Job,
  facts: Readonly<Record<string, Json>>,
  config?: ContainerConfig,
): Promise<Imported> {
  const made = await makeDisk({
    layers,
    workDir: job.workDir,
    output: job.output,
    seed: `import ${job.name}`,
    epoch,
    maxBytes: job.maxBytes,
    directories,
    ...(config === undefined
      ? {}
      : { extraFiles: [{ path: '/etc/coppice/image.env', content: envFile(config) }] }),
    inspect: requireShell,
    ...(job.onProgress === undefined ? {} : { onProgress: job.onProgress }),
    ...signalOf(job),
  });
  return {
    virtualSize: made.virtualSize,
    facts: {
      ...facts,
      contentBytes: made.contentBytes,
      files: made.files,
      devicesLeftOut: made.devices,
    },
  };
}

/** KEY=VALUE lines; what does not fit on a line cannot be said there. */
function envFile(config: ContainerConfig): string {
  return config.env
    .filter((line) => /^[A-Za-z_][A-Za-z0-9_]*=[^\n\0]*$/.test(line))
    .map((line) => `${line}\n`)
    .join('');
}

function requireShell(tree: Tree): void {
  if (['bin/sh', 'usr/bin/sh'].some((path) => tree.find(path) !== undefined)) return;
  throw imageInvalid(
    'The image has no /bin/sh, so no command could run in it.',
    'Import an image with a shell, for example one based on a distribution; a tar must hold the root directly, not below a directory.',
  );
}

/** A few kilobytes can unpack to terabytes: what comes out of a decompressor is counted, headers included. */
function limited(input: Readable, job: Job): Readable {
  const limit = job.maxBytes * 2;
  let seen = 0;
  const count = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      seen += chunk.length;
      if (seen > limit) {
        done(imageTooLarge(`The archive unpacks to more than ${String(limit)} bytes.`, limit));
      } else done(null, chunk);
    },
  });
  pipeline(input, count).catch(() => {
    // Whoever reads the output sees the error.
  });
  return count;
}

function verified(input: Readable, sha256: string): Readable {
  const hash = createHash('sha256');
  const check = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
    flush(done) {
      if (hash.digest('hex') === sha256) done();
      else {
        done(
          imageCorrupt(
            `A layer of the image does not have the content its digest promises (sha256:${sha256}).`,
          ),
        );
      }
    },
  });
  pipeline(input, check).catch(() => {
    // Whoever reads the output sees the error.
  });
  return check;
}

function explained(error: unknown, source: string, outDir: string): unknown {
  if (error instanceof CoppiceError && /No space left on device/.test(error.message)) {
    return noSpace(outDir);
  }
  return withSpaceError(asCorrupt(error, source), outDir);
}
