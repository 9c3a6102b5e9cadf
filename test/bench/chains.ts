/** Reading and writing in the guest through chains of 1, 8 and 32 layers. */
import { mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { run } from '../../helper-daemon/system/run.ts';
import type { BenchContext } from './context.ts';
import { destroy, makeMachine, shell } from './machines.ts';
import { noPromise, timed, type Comparison, type Measured } from './samples.ts';

const depths = [1, 8, 32] as const;
const fileMib = 64;
/** Blocks written again at random places before the snapshots, spread over the layers. */
const scattered = 4096;
const operations = 1024;
const blockBytes = 4096;
const tests = ['sequential read', 'random read', 'sequential write', 'random write'] as const;
type Test = (typeof tests)[number];
type Samples = Record<Test, number[]>;

interface Chain {
  readonly depth: number;
  readonly id: string;
  readonly samples: Samples;
}

/** Runs in the guest; past its page cache. Prints operations a second, of 4 KiB or of 1 MiB. */
const program = `
import mmap, os, random, sys, time
what, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
name, size = '/workspace/bench.data', ${String(fileMib)} << 20
random.seed(seed)
if what == 'make':
    with open(name, 'wb') as made:
        for _ in range(size >> 20): made.write(os.urandom(1 << 20))
        made.flush(); os.fsync(made.fileno())
    sys.exit()
sequential = what.startswith('sequential')
block = 1 << 20 if sequential else ${String(blockBytes)}
count = size // block if sequential else count
buffer = mmap.mmap(-1, block)
buffer.write(os.urandom(block))
file = os.open(name, os.O_RDWR | os.O_DIRECT)
places = range(0, size, block) if sequential else [random.randrange(size // block) * block for _ in range(count)]
began = time.perf_counter()
if what.endswith('read'):
    for place in places: os.preadv(file, [buffer], place)
else:
    for place in places: os.pwritev(file, [buffer], place)
    os.fsync(file)
print(count / (time.perf_counter() - began))
`;
const programFile = '/workspace/bench.py';

export async function measureChains(context: BenchContext): Promise<Measured> {
  const { client, rounds, say } = context;
  const chains: Chain[] = [];
  try {
    for (const depth of depths) {
      say(`a chain of ${String(depth)}`);
      chains.push(await makeChain(context, depth));
    }
    const tidied = await tidyRunning(context);
    const raw: number[] = [];
    for (const test of tests) {
      for (let round = 0; round < rounds.chains; round += 1) {
        say(`${test} ${String(round + 1)} of ${String(rounds.chains)}`);
        if (test === 'random read') raw.push(await rawReads(context));
        // The same places at every depth.
        for (const { id, samples } of chains) {
          samples[test].push(await inGuest(context, id, test, round, operations));
        }
      }
    }
    const notes = [tidied, await tidyStopped(context, chains)];
    return { comparisons: [...besideDepthOne(chains), ...besideRaw(chains, raw)], notes };
  } finally {
    await destroy(client, ...chains.map(({ id }) => id));
  }
}

/** A machine that booted, so that nothing but these layers is between its head and the image. */
async function makeChain(context: BenchContext, depth: number): Promise<Chain> {
  const { client } = context;
  const { id } = await makeMachine(context, 'cold');
  await client.call('file_write', { workspace_id: id, path: programFile, content: program });
  await inGuest(context, id, 'make', 0, 0);
  for (let layer = 1; layer <= depth; layer += 1) {
    // As many writes on every machine; how many layers they are spread over differs.
    await inGuest(context, id, 'random write', layer, Math.floor(scattered / depth));
    await client.call('snapshot_create', { workspace_id: id, name: `layer-${String(layer)}` });
  }
  return {
    depth,
    id,
    samples: {
      'sequential read': [],
      'random read': [],
      'sequential write': [],
      'random write': [],
    },
  };
}

async function inGuest(
  { client }: BenchContext,
  id: string,
  what: Test | 'make',
  seed: number,
  count: number,
): Promise<number> {
  const said = await shell(
    client,
    id,
    `python3 ${programFile} '${what}' ${String(seed)} ${String(count)}`,
  );
  return Number(said);
}

/** QEMU's own block layer on a plain file, without a guest. Operations a second. */
async function rawReads({ home }: BenchContext): Promise<number> {
  const directory = mkdtempSync(path.join(home.directory, 'raw-'));
  try {
    const file = path.join(directory, 'plain');
    await run('dd', ['if=/dev/urandom', `of=${file}`, 'bs=1M', `count=${String(fileMib)}`]);
    const count = operations * 8;
    // A stride that is no power of two: it comes everywhere, and never where it just was.
    const stride = blockBytes * 1021;
    const { stdout } = await run('qemu-img', [
      ...['bench', '-f', 'raw', '-t', 'writeback', '-d', '1'],
      ...['-c', String(count), '-s', String(blockBytes), '-S', String(stride), file],
    ]);
    const seconds = Number(/completed in ([\d.]+) seconds/.exec(stdout)?.[1] ?? Number.NaN);
    if (!(seconds > 0)) throw new Error(`qemu-img bench said ${stdout}`);
    return count / seconds;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function besideDepthOne(chains: readonly Chain[]): Comparison[] {
  const [first, ...deeper] = chains;
  if (first === undefined) return [];
  return tests.flatMap((test) =>
    deeper.map(({ depth, samples }) => ({
      what: `${nameOf(test)}, depth ${String(depth)}`,
      unit: unitOf(test),
      ours: inUnit(test, samples[test]),
      baselineName: 'the same at depth 1',
      baseline: inUnit(test, first.samples[test]),
      promise: noPromise,
    })),
  );
}

function besideRaw(chains: readonly Chain[], raw: readonly number[]): Comparison[] {
  return chains.slice(0, 1).map(({ samples }) => ({
    what: 'random read 4k, depth 1',
    unit: 'op/s',
    ours: samples['random read'],
    baselineName: 'qemu-img bench on a raw file, no guest',
    baseline: raw,
    promise: noPromise,
  }));
}

function nameOf(test: Test): string {
  return test.startsWith('random') ? `${test} 4k` : test;
}

function unitOf(test: Test): Comparison['unit'] {
  return test.startsWith('random') ? 'op/s' : 'MB/s';
}

function inUnit(test: Test, perSecond: readonly number[]): readonly number[] {
  return test.startsWith('random') ? perSecond : perSecond.map((each) => (each * 1024 ** 2) / 1e6);
}

/** Lets the daemon do now what it would do in the background during the measurements. */
async function tidyRunning(context: BenchContext): Promise<string> {
  context.say('tidying');
  const before = await deepest(context);
  const { ms } = await timed(() => context.client.call('storage_gc', {}));
  const after = await deepest(context);
  return `with the machines running, the deepest disk stood on ${String(before)} layers, and on ${String(after)} after storage gc (${ms.toFixed(0)} ms); QEMU goes on reading through the files it has open, and those are measured.`;
}

async function tidyStopped(context: BenchContext, chains: readonly Chain[]): Promise<string> {
  const { client, say } = context;
  say('tidying what is stopped');
  for (const { id } of chains) await client.call('workspace_stop', { workspace_id: id });
  const { ms } = await timed(() => client.call('storage_gc', {}));
  return `with the machines stopped, the deepest disk stood on ${String(await deepest(context))} layers after storage gc (${ms.toFixed(0)} ms).`;
}

async function deepest({ client }: BenchContext): Promise<number> {
  return (await client.call('storage_status', {})).deepest_chain;
}
