/** Imports a qcow2 or raw disk: refuses what points at other files, finds the root, repairs, converts. */
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { CoppiceError } from '../../protocol/errors.ts';
import { run } from '../system/run.ts';
import type { Json } from './contentCache.ts';
import { imageCorrupt, imageInvalid, imageTooLarge } from './imageErrors.ts';
import { convertToQcow2, systemPath } from './makeDisk.ts';
import { findRoot } from './partitions.ts';
import { signalOf, type WorkOptions } from './progress.ts';
import { requireSelfContained } from './qcow2Header.ts';

export interface DiskImport extends WorkOptions {
  readonly source: string;
  readonly size: number;
  readonly format: 'qcow2' | 'raw';
  readonly workDir: string;
  readonly output: string;
  /** Most that the disk may have, and may take on the host. */
  readonly maxBytes: number;
}

export interface ImportedDisk {
  readonly virtualSize: number;
  readonly facts: Readonly<Record<string, Json>>;
}

const infoSchema = z.object({
  format: z.string(),
  'virtual-size': z.number().int().nonnegative(),
  'backing-filename': z.string().optional(),
  encrypted: z.boolean().optional(),
});
const checkSchema = z.object({
  'image-end-offset': z.number().optional(),
  corruptions: z.number().optional(),
  'check-errors': z.number().optional(),
});

const watchMs = 500;

export async function importDisk(request: DiskImport): Promise<ImportedDisk> {
  if (request.format === 'qcow2') await inspectQcow2(request);
  const size = request.format === 'qcow2' ? await virtualSize(request) : request.size;
  if (size > request.maxBytes) {
    throw imageTooLarge(
      `The disk has ${String(size)} bytes; ${String(request.maxBytes)} are allowed.`,
      request.maxBytes,
    );
  }
  // A copy of our own: the source may change under us, and a repair must not touch it.
  request.onProgress?.({ step: 'image', detail: 'reading the disk', fraction: 0.1 });
  const whole = join(request.workDir, 'whole.raw');
  await boundedConvert(request, ['-f', request.format, request.source], whole);
  const disk = await open(whole, 'r');
  const part = await findRoot(disk, size).finally(() => disk.close());

  let root = whole;
  if (part.offset > 0) {
    request.onProgress?.({ step: 'image', detail: 'extracting the root partition', fraction: 0.5 });
    root = join(request.workDir, 'root.raw');
    const window = `driver=raw,offset=${String(part.offset)},size=${String(part.size)},file.driver=file,file.filename=${whole.replaceAll(',', ',,')}`;
    await boundedConvert(request, ['--image-opts', window], root);
  }
  request.onProgress?.({ step: 'image', detail: 'checking the file system', fraction: 0.7 });
  await repair(root, request);
  await requireLinuxRoot(root, request);
  request.onProgress?.({ step: 'image', detail: 'writing the qcow2 file', fraction: 0.8 });
  await convertToQcow2(root, 'raw', request.output, request);
  return {
    virtualSize: (await stat(root)).size,
    facts: { format: request.format, partitionOffset: part.offset },
  };
}

async function inspectQcow2(request: DiskImport): Promise<void> {
  const { clusterSize } = await requireSelfContained(request.source);
  const { stdout } = await run(
    'qemu-img',
    ['check', '-f', 'qcow2', '--output=json', request.source],
    signalOf(request),
  ).catch((error: unknown) => {
    throw damaged(error, 'qemu-img finds errors in the qcow2 file');
  });
  const check = checkSchema.parse(JSON.parse(stdout));
  if ((check.corruptions ?? 0) > 0 || (check['check-errors'] ?? 0) > 0) {
    throw imageCorrupt('The qcow2 file has damaged metadata.');
  }
  // QEMU reads zeros beyond the end of a file, so a truncated disk would look like an empty one. The last
  // cluster need not be complete.
  if ((check['image-end-offset'] ?? 0) >= request.size + clusterSize) {
    throw imageCorrupt('The qcow2 file is truncated: it ends before the data it describes.');
  }
}

async function virtualSize(request: DiskImport): Promise<number> {
  const { stdout } = await run(
    'qemu-img',
    ['info', '-f', 'qcow2', '--output=json', request.source],
    signalOf(request),
  ).catch((error: unknown) => {
    throw damaged(error, 'qemu-img cannot read the qcow2 file');
  });
  const info = infoSchema.parse(JSON.parse(stdout));
  // The header was checked already; this is QEMU's own opinion on the same question.
  if (info['backing-filename'] !== undefined || info.encrypted === true) {
    throw imageInvalid('The qcow2 file depends on something outside it.');
  }
  return info['virtual-size'];
}

/** Compressed clusters can unpack to far more than the file's size: the result is watched as it grows. */
async function boundedConvert(
  request: DiskImport,
  source: readonly string[],
  output: string,
): Promise<void> {
  const tooLarge = new AbortController();
  const watch = setInterval(() => {
    stat(output).then(
      ({ blocks }) => {
        if (blocks * 512 > request.maxBytes) tooLarge.abort();
      },
      () => undefined,
    );
  }, watchMs);
  const options = source.slice(0, -1);
  const name = source[source.length - 1] as string;
  try {
    await run('qemu-img', ['convert', ...options, '-O', 'raw', name, output], {
      signal: AbortSignal.any([tooLarge.signal, ...Object.values(signalOf(request))]),
    });
  } catch (error) {
    if (tooLarge.signal.aborted) {
      throw imageTooLarge(
        `The disk unpacks to more than ${String(request.maxBytes)} bytes.`,
        request.maxBytes,
      );
    }
    throw damaged(error, 'The disk cannot be read');
  } finally {
    clearInterval(watch);
  }
}

/** A disk that was in use has a journal to replay; e2fsck does that, and only what is safe beyond it. */
async function repair(root: string, options: WorkOptions): Promise<void> {
  try {
    await run('e2fsck', ['-f', '-p', root], { env: systemPath(), ...signalOf(options) });
  } catch (error) {
    // 1 means "errors were corrected".
    if (error instanceof CoppiceError && error.details?.['exitCode'] === 1) return;
    throw damaged(error, 'The file system of the disk has errors that cannot be repaired safely');
  }
}

async function requireLinuxRoot(root: string, options: WorkOptions): Promise<void> {
  for (const path of ['/bin/sh', '/usr/bin/sh']) {
    const { stdout } = await run('debugfs', ['-R', `stat ${path}`, root], {
      env: systemPath(),
      ...signalOf(options),
    });
    if (stdout.includes('Inode:')) return;
  }
  throw imageInvalid(
    'The disk has no /bin/sh, so it does not hold a Linux system.',
    'Check that this is the disk with the root file system.',
  );
}

function damaged(error: unknown, what: string): unknown {
  if (!(error instanceof CoppiceError) || error.code !== 'command_failed') return error;
  if (/No space left on device/.test(error.message)) return error;
  return imageCorrupt(`${what}: ${error.message.split('\n').slice(-3).join(' ')}`);
}
