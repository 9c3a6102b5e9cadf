/** What the storages themselves need for a disk, a freeze and copies, without machines. */
import { constants, copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import type { BaseImage, Locator, StorageBackend } from '../../helper-daemon/storage/backend.ts';
import { qcow2Storage } from '../../helper-daemon/storage/qcow2.ts';
import { reflinkStorage } from '../../helper-daemon/storage/reflink.ts';
import { run } from '../../helper-daemon/system/run.ts';
import { asCoppiceError } from '../../protocol/errors.ts';
import { overlayOn } from './bareMachine.ts';
import { own } from './cleanup.ts';
import type { BenchContext } from './context.ts';
import { alone, noPromise, timed, type Comparison, type Measured } from './samples.ts';

interface Bed {
  readonly storage: StorageBackend;
  readonly baselineName: string;
  /** Copies a disk with the means of the file system or of QEMU alone. */
  rawCopy(disk: string): void;
  close(): Promise<void>;
}

interface Samples {
  readonly head: number[];
  readonly hold: number[];
  readonly freeze: number[];
  readonly fork: number[];
  readonly raw: number[];
  readonly forks: number[];
  readonly remove: number[];
}

const copies = 8;
/** Changed in a head before it is frozen. */
const dirtyMib = 64;
/** Sparse; holds the image as a raw file and what differs from it. */
const loopBytes = 8 * 1024 ** 3;

export async function measureStorage(context: BenchContext): Promise<Measured> {
  const image = await imageOf(context);
  const comparisons: Comparison[] = [];
  const notes: string[] = [];
  for (const open of [qcow2Bed, reflinkBed]) {
    const bed = await open(context).catch((error: unknown) => {
      notes.push(`reflink not measured: ${asCoppiceError(error).message}`);
    });
    if (bed === undefined) continue;
    try {
      const samples = await sampleAll(context, bed, image);
      comparisons.push(...describe(bed, samples));
    } finally {
      await bed.close();
    }
  }
  return { comparisons, notes };
}

async function imageOf({ bare }: BenchContext): Promise<BaseImage> {
  const { stdout } = await run('qemu-img', ['info', '--output=json', bare.image]);
  const info = JSON.parse(stdout) as { 'virtual-size': number };
  return {
    kind: 'image',
    path: bare.image,
    digest: `sha256:${path.basename(bare.image, '.qcow2')}`,
    virtualBytes: info['virtual-size'],
  };
}

async function qcow2Bed({ home }: BenchContext): Promise<Bed> {
  const state = mkdtempSync(path.join(home.directory, 'storage-'));
  return {
    storage: qcow2Storage({ state, images: home.paths.images }),
    baselineName: 'qemu-img create over the layer',
    rawCopy(disk) {
      rmSync(overlayOn(state, disk));
    },
    close: own(async () => rmSync(state, { recursive: true, force: true })),
  };
}

/** XFS in a file: most hosts of the bench have no file system that shares blocks. */
async function reflinkBed({ home }: BenchContext): Promise<Bed> {
  if (process.getuid?.() !== 0) throw new Error('only root can mount a file system for it');
  const top = mkdtempSync(path.join(home.directory, 'xfs-'));
  const state = path.join(top, 'mnt');
  const file = path.join(top, 'fs');
  mkdirSync(state);
  let mounted = false;
  const close = own(async () => {
    // Lazily: after an interrupt a program may still be writing there.
    if (mounted) await run('umount', ['-l', state]);
    rmSync(top, { recursive: true, force: true });
  });
  try {
    await run('truncate', ['-s', String(loopBytes), file]);
    await run('mkfs.xfs', ['-q', '-m', 'reflink=1', file]);
    await run('mount', ['-o', 'loop', file, state]);
    mounted = true;
  } catch (error) {
    await close();
    throw error;
  }
  return {
    storage: reflinkStorage({ state }),
    baselineName: 'a reflink of the same file (FICLONE)',
    rawCopy(disk) {
      const to = path.join(state, 'copy');
      copyFileSync(disk, to, constants.COPYFILE_FICLONE_FORCE);
      rmSync(to);
    },
    close,
  };
}

async function sampleAll(
  { rounds, bare, say }: BenchContext,
  bed: Bed,
  image: BaseImage,
): Promise<Samples> {
  const { storage } = bed;
  const sizeBytes = bare.diskGb * 1024 ** 3;
  const samples: Samples = {
    head: [],
    hold: [],
    freeze: [],
    fork: [],
    raw: [],
    forks: [],
    remove: [],
  };
  const headOn = (base: BaseImage | Locator): Promise<Locator> =>
    storage.createHead({
      id: randomUUID(),
      base: typeof base === 'string' ? { kind: 'layer', locator: base } : base,
      sizeBytes,
    });
  // An image may have to be converted once.
  await storage.deleteHead(await headOn(image));
  for (let round = 0; round < rounds.storage; round += 1) {
    say(`${storage.name} ${String(round + 1)} of ${String(rounds.storage)}`);
    const head = await timed(() => headOn(image));
    samples.head.push(head.ms);
    await writeTo(storage, head.value);
    const frozen = await timed(() => freeze(storage, head.value));
    samples.freeze.push(frozen.ms);
    samples.hold.push(frozen.value.holdMs);
    const { layer, nextHead } = frozen.value;
    const fork = await timed(() => headOn(layer));
    samples.fork.push(fork.ms);
    const disk = (await storage.disk(layer)).path;
    samples.raw.push((await timed(async () => bed.rawCopy(disk))).ms);
    const forks = await timed(() =>
      Promise.all(Array.from({ length: copies }, () => headOn(layer))),
    );
    samples.forks.push(forks.ms);
    const removed = await timed(async () => {
      const heads = [nextHead, fork.value, ...forks.value];
      await Promise.all(heads.map((each) => storage.deleteHead(each)));
      await storage.deleteLayer(layer);
    });
    samples.remove.push(removed.ms);
  }
  return samples;
}

async function writeTo(storage: StorageBackend, head: Locator): Promise<void> {
  const { path: file, format } = await storage.disk(head);
  const write = `write -P 0x5a 64M ${String(dirtyMib)}M`;
  await run('qemu-io', ['-f', format, '-c', write, '-c', 'flush', file]);
}

/** All of a freeze, and the part of it for which a machine would stand still. */
async function freeze(
  storage: StorageBackend,
  head: Locator,
): Promise<{ readonly layer: Locator; readonly nextHead: Locator; readonly holdMs: number }> {
  const request = { head, layerId: randomUUID(), nextHeadId: randomUUID() };
  const plan = await storage.prepareFreeze(request);
  const { ms: holdMs } = await timed(() => plan.commit());
  await plan.settle();
  return { layer: plan.layer, nextHead: plan.nextHead, holdMs };
}

function describe({ storage, baselineName }: Bed, samples: Samples): Comparison[] {
  const { name } = storage;
  return [
    alone(`${name}: new disk on the image`, 'ms', samples.head),
    alone(`${name}: freeze with ${String(dirtyMib)} MiB changed`, 'ms', samples.freeze),
    alone(`${name}:   of which the machine stands still`, 'ms', samples.hold),
    {
      what: `${name}: fork`,
      unit: 'ms',
      ours: samples.fork,
      baselineName,
      baseline: samples.raw,
      promise: noPromise,
    },
    alone(`${name}: fork × ${String(copies)} at once`, 'ms', samples.forks),
    alone(`${name}: delete all of it`, 'ms', samples.remove),
  ];
}
