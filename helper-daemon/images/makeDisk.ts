/**
 * Turns tar layers into a qcow2 disk with one ext4 file system.
 *
 * mke2fs makes the empty file system, and this project's own writer fills it, so that owners, modes and
 * attributes come out right whoever runs it: no root, no user namespace, no fakeroot, and nothing of the
 * archive ever touches the host's file system.
 */
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { run } from '../system/run.ts';
import { applyLayer, type Budget, type LayerCounts } from './applyLayer.ts';
import { digestText } from './fileDigest.ts';
import { imageCorrupt, imageTooLarge } from './imageErrors.ts';
import { signalOf, type WorkOptions } from './progress.ts';
import { makeTree, type Attributes, type Tree, type TreeNode } from './ext4/tree.ts';
import { openVolume, type Extent } from './ext4/volume.ts';
import { VolumeFull } from './ext4/volumeFull.ts';
import { writeTree } from './ext4/writeTree.ts';

export interface Layer {
  /** Opened again when the file system has to be made larger. */
  readonly open: () => Promise<Readable> | Readable;
  readonly whiteouts: boolean;
}

export interface DiskRequest extends WorkOptions {
  readonly layers: readonly Layer[];
  /** Files put on top of the layers, with their parents. */
  readonly extraFiles?: readonly {
    readonly path: string;
    readonly content: string;
    readonly mode?: number;
  }[];
  /** Directories that must exist; what the layers have there stays. */
  readonly directories?: readonly { readonly path: string; readonly mode: number }[];
  /** Called with the finished tree, to check or describe it. */
  readonly inspect?: (tree: Tree) => void;
  /** Where temporary files go; the caller owns it and has room there. */
  readonly workDir: string;
  readonly output: string;
  /** Decides the file system's UUID: equal content and seed give equal bytes. */
  readonly seed: string;
  /** Seconds since 1970 for what the layers do not date. */
  readonly epoch: number;
  readonly maxBytes: number;
  /** Of the file system at the first attempt; it is made larger until the content fits. */
  readonly firstSize?: number;
}

export interface DiskFacts extends LayerCounts {
  readonly virtualSize: number;
  /** Bytes of files in the image. */
  readonly contentBytes: number;
}

const gibibyte = 1024 ** 3;
/** Sparse, so it costs nothing; big enough that most work never needs to grow it. */
const usualSize = 8 * gibibyte;

/**
 * Named one by one: what a distribution's mke2fs would choose differs. resize_inode and the room reserved
 * below let the guest grow its disk online; sparse_super2 would not.
 */
const features = [
  'none',
  'has_journal',
  'ext_attr',
  'resize_inode',
  'dir_index',
  'filetype',
  'extent',
  '64bit',
  'flex_bg',
  'sparse_super',
  'large_file',
  'huge_file',
  'dir_nlink',
  'extra_isize',
  'metadata_csum',
];
/** Blocks of 4 KiB the file system can grow to online: 1 TiB. */
const growthLimit = 268_435_456;
const journalMebibytes = 32;

export async function makeDisk(request: DiskRequest): Promise<DiskFacts> {
  const work = await mkdtemp(join(request.workDir, 'disk-'));
  try {
    const raw = join(work, 'root.ext4');
    for (let size = request.firstSize ?? usualSize; ; size *= 4) {
      try {
        const facts = await fill(raw, size, request);
        request.onProgress?.({ step: 'image', detail: 'checking the file system' });
        await checkFileSystem(raw, request);
        request.onProgress?.({ step: 'image', detail: 'writing the qcow2 file' });
        await convertToQcow2(raw, 'raw', request.output, request);
        return { ...facts, virtualSize: size };
      } catch (error) {
        if (!(error instanceof VolumeFull)) throw error;
        // The size limit ends this before the disk does.
        if (size > request.maxBytes * 4) {
          throw imageTooLarge(
            'The image does not fit into the largest disk it may have.',
            request.maxBytes,
          );
        }
        await rm(raw, { force: true });
      }
    }
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function fill(
  raw: string,
  size: number,
  request: DiskRequest,
): Promise<Omit<DiskFacts, 'virtualSize'>> {
  await writeFile(raw, '');
  await truncate(raw, size);
  await makeFileSystem(raw, request);
  const volume = await openVolume(raw);
  const dead: Extent[] = [];
  try {
    const tree = makeTree((node) => dead.push(...node.extents));
    const budget: Budget = { bytes: request.maxBytes, bytesLeft: request.maxBytes };
    const counts = { files: 0, devices: 0 };
    for (const [index, layer] of request.layers.entries()) {
      request.onProgress?.({
        step: 'image',
        detail: `unpacking layer ${String(index + 1)} of ${String(request.layers.length)}`,
        fraction: index / request.layers.length,
      });
      const input = await layer.open();
      try {
        const done = await applyLayer(tree, volume, input, {
          layer: index + 1,
          whiteouts: layer.whiteouts,
          budget,
          ...signalOf(request),
        });
        counts.files += done.files;
        counts.devices += done.devices;
      } finally {
        input.destroy();
      }
    }
    await addOwnFiles(tree, volume, request);
    request.inspect?.(tree);
    // Replaced and whited-out content must not travel along in the image.
    for (const extent of dead) await zero(volume, extent);
    volume.release(dead);
    await writeTree(volume, tree);
    await volume.finish();
    return { ...counts, contentBytes: budget.bytes - budget.bytesLeft };
  } finally {
    await volume.close();
  }
}

async function addOwnFiles(
  tree: Tree,
  volume: Awaited<ReturnType<typeof openVolume>>,
  request: DiskRequest,
): Promise<void> {
  const layer = request.layers.length + 1;
  const owned = (mode: number): Attributes => ({ mode, uid: 0, gid: 0, mtime: request.epoch });
  for (const { path, mode } of request.directories ?? []) {
    if (tree.find(path) === undefined) tree.addDirectory(path, owned(mode), layer);
  }
  for (const { path, content, mode } of request.extraFiles ?? []) {
    const bytes = Buffer.from(content, 'utf8');
    const extents = volume.allocate(Math.ceil(bytes.length / 4096));
    let done = 0;
    for (const extent of extents) {
      const block = Buffer.alloc(extent.count * 4096);
      bytes.copy(block, 0, done, done + block.length);
      await volume.write(extent.start, block);
      done += block.length;
    }
    const node: Omit<TreeNode, 'links' | 'children'> = {
      kind: 'file',
      attributes: owned(mode ?? 0o644),
      size: bytes.length,
      extents,
    };
    tree.addNode(path, node, layer);
  }
}

async function zero(
  volume: { write(block: number, bytes: Uint8Array): Promise<void> },
  extent: Extent,
): Promise<void> {
  const step = 256;
  const zeros = Buffer.alloc(step * 4096);
  for (let done = 0; done < extent.count; done += step) {
    const count = Math.min(step, extent.count - done);
    await volume.write(extent.start + done, zeros.subarray(0, count * 4096));
  }
}

async function makeFileSystem(raw: string, request: DiskRequest): Promise<void> {
  const uuid = uuidFrom(request.seed);
  await run(
    'mke2fs',
    [
      '-q',
      '-F',
      ...['-t', 'ext4'],
      ...['-b', '4096'],
      ...['-I', '256'],
      ...['-i', '16384'],
      ...['-m', '0'],
      ...['-L', 'coppice-root'],
      ...['-U', uuid],
      ...['-J', `size=${String(journalMebibytes)}`],
      ...['-O', features.join(',')],
      ...[
        '-E',
        `root_owner=0:0,hash_seed=${uuid},resize=${String(growthLimit)},nodiscard,lazy_itable_init=1,lazy_journal_init=1`,
      ],
      raw,
    ],
    {
      // The first is for releases before 1.47.1, the second for those after.
      env: {
        ...systemPath(),
        E2FSPROGS_FAKE_TIME: String(request.epoch),
        SOURCE_DATE_EPOCH: String(request.epoch),
      },
      ...signalOf(request),
    },
  );
}

/** An independent judge of what this project's own writer made. */
async function checkFileSystem(raw: string, options: WorkOptions): Promise<void> {
  try {
    await run('e2fsck', ['-f', '-n', raw], { env: systemPath(), ...signalOf(options) });
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'command_failed') throw error;
    throw imageCorrupt(`The file system of the image has errors: ${(error as Error).message}`);
  }
}

export async function convertToQcow2(
  source: string,
  format: 'raw' | 'qcow2',
  output: string,
  options: WorkOptions,
): Promise<void> {
  const target = ['-O', 'qcow2', '-o', 'cluster_size=128k'];
  await run('qemu-img', ['convert', '-f', format, ...target, source, output], signalOf(options));
}

/** e2fsprogs lives in /usr/sbin, which is not on every user's PATH. */
export function systemPath(): { readonly PATH: string } {
  return { PATH: `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin` };
}

function uuidFrom(seed: string): string {
  const hex = digestText(seed);
  const variant = ((parseInt(hex.slice(16, 17), 16) & 3) | 8).toString(16);
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `4${hex.slice(13, 16)}`,
    `${variant}${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join('-');
}
