/**
 * Measures the promises of the design beside their raw baselines, in one run, samples in turns. Prints a
 * table and writes bench-results/<time>.json. Asserts nothing: the machine is noisy.
 *
 *   npm run bench [-- <group> …] [--storage] [--quick] [--no-build]
 *
 * Groups: known creates exec transfer snapshots forks memory chains network tools swarm storage; default: all but storage.
 */
import path from 'node:path';
import { parseArgs } from 'node:util';
import { startProgress } from '../helper-daemon/cli/text/progressLine.ts';
import { readBootAssets } from '../helper-daemon/images/bootAssets.ts';
import { asCoppiceError, CoppiceError } from '../protocol/errors.ts';
import { benchHome, type BenchHome } from '../test/bench/benchDaemon.ts';
import { measureChains } from '../test/bench/chains.ts';
import { releaseAll } from '../test/bench/cleanup.ts';
import { measureMemory } from '../test/bench/cloneMemory.ts';
import { fullRounds, quickRounds, type BenchContext } from '../test/bench/context.ts';
import { measureCreates } from '../test/bench/creates.ts';
import { measureExec } from '../test/bench/exec.ts';
import { measureForks } from '../test/bench/forks.ts';
import { describeHost, hostFacts, loadWarning } from '../test/bench/hostFacts.ts';
import { measureKnown } from '../test/bench/known.ts';
import { prepareTemplate } from '../test/bench/machines.ts';
import { reportTable, writeReport, type Section } from '../test/bench/report.ts';
import type { Measured } from '../test/bench/samples.ts';
import { measureNetwork } from '../test/bench/network.ts';
import { measureSnapshots } from '../test/bench/snapshots.ts';
import { measureStorage } from '../test/bench/storage.ts';
import { measureSwarm } from '../test/bench/swarm.ts';
import { measureToolCalls } from '../test/bench/toolCalls.ts';
import { measureTransfer } from '../test/bench/transfer.ts';
import { buildAll } from './build.ts';
import { buildAssets } from './buildAssets.ts';

/** In the order of the report. */
const groups: Readonly<Record<string, (context: BenchContext) => Promise<Measured>>> = {
  creates: measureCreates,
  exec: measureExec,
  transfer: measureTransfer,
  snapshots: measureSnapshots,
  forks: measureForks,
  memory: measureMemory,
  chains: measureChains,
  network: measureNetwork,
  tools: measureToolCalls,
  swarm: measureSwarm,
  known: measureKnown,
  storage: measureStorage,
};
/** Groups that measure machines made from a template. */
const withTemplates = ['creates', 'snapshots', 'forks', 'memory'];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    /** Also the storages without machines. */
    storage: { type: 'boolean', default: false },
    /** Measure what is built already. */
    'no-build': { type: 'boolean', default: false },
  },
});

const progress = startProgress('Preparing');
let interrupted = false;
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  // A listener that stays: without one, execa would let the signal end this process at once.
  process.on(signal, () => {
    if (interrupted) return;
    interrupted = true;
    progress.stop();
    void releaseAll().then(() => process.exit(code));
  });
}

async function main(): Promise<void> {
  const wanted = wantedGroups();
  const host = hostFacts();
  const warning = loadWarning(host);
  if (warning !== undefined) process.stderr.write(`${warning}\n`);
  if (!values['no-build']) {
    await buildAll(['coppice', 'coppiced', 'coppice-mcp']);
    await buildAssets({ images: ['debian-dev'] });
  }
  const home = benchHome();
  const { context, facts } = await openContext(home);
  if (wanted.some((name) => withTemplates.includes(name))) await prepareTemplate(context);
  const sections: Section[] = [];
  for (const name of wanted) {
    sections.push(await measureGroup(name, context));
    // It failed because everything is being released; nothing else may begin.
    if (interrupted) return;
  }
  await home.remove();
  progress.stop();
  process.stdout.write(`${reportTable(sections)}\n\n${describeHost(host)}`);
  process.stdout.write(` Accelerator ${facts.accelerator}, storage ${facts.storage}.\n`);
  if (warning !== undefined) process.stdout.write(`${warning}\n`);
  const file = writeReport(path.resolve('bench-results'), sections, host, {
    ...facts,
    quick: values.quick,
  });
  process.stdout.write(
    `Medians, and the range of the middle half; every sample is in ${path.relative(process.cwd(), file)}.\n`,
  );
  if (sections.some(({ failure }) => failure !== undefined)) process.exitCode = 1;
}

/** @throws CoppiceError `invalid_input` for a group that does not exist */
function wantedGroups(): readonly string[] {
  const unknown = positionals.find((name) => groups[name] === undefined);
  if (unknown !== undefined) {
    throw new CoppiceError({
      code: 'invalid_input',
      message: `There is nothing to measure named ${unknown}.`,
      next: `Name any of: ${Object.keys(groups).join(', ')}.`,
    });
  }
  return Object.keys(groups).filter((name) => {
    if (name === 'storage' && values.storage) return true;
    return positionals.length === 0 ? name !== 'storage' : positionals.includes(name);
  });
}

async function openContext(home: BenchHome): Promise<{
  readonly context: BenchContext;
  readonly facts: { readonly accelerator: string; readonly storage: string };
}> {
  const client = await home.connect();
  await client.call('pool_set', { templates: 'off', size: 0 });
  const image = await client.call('image_build', { name: 'debian-dev' });
  // The first machine settles the accelerator; its boot is not counted.
  const { workspace_id } = await client.call('workspace_create', { ephemeral: true });
  const { accelerator, storage } = await client.call('workspace_info', { workspace_id });
  await client.call('workspace_destroy', { workspace_id });
  const context: BenchContext = {
    client,
    home,
    rounds: values.quick ? quickRounds : fullRounds,
    say: (text) => progress.update(text),
    bare: {
      directory: home.directory,
      assets: await readBootAssets(),
      image: path.join(home.paths.images, `${image.digest.replace('sha256:', '')}.qcow2`),
      accelerator: accelerator ?? 'tcg',
      vcpus: 2,
      memoryMb: 512,
      diskGb: 10,
    },
  };
  return { context, facts: { accelerator: context.bare.accelerator, storage } };
}

/** A group that fails leaves the others their numbers. */
async function measureGroup(name: string, context: BenchContext): Promise<Section> {
  try {
    const measure = groups[name];
    if (measure === undefined) throw new Error(`no group ${name}`);
    return { name, ...(await measure(context)) };
  } catch (error) {
    return { name, comparisons: [], failure: asCoppiceError(error).message };
  }
}

try {
  await main();
} catch (error) {
  progress.stop();
  const { message, next } = asCoppiceError(error);
  process.stderr.write(`The bench stopped: ${message}\n${next === undefined ? '' : `${next}\n`}`);
  process.exitCode = 1;
} finally {
  await releaseAll();
}
