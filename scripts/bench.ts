/**
 * Measures the promises of the design beside their raw baselines, in one run, samples in turns. Prints a
 * table and writes bench-results/<time>.json. Asserts nothing: the machine is noisy.
 *
 *   npm run bench [-- --quick] [--no-build]
 */
import path from 'node:path';
import { parseArgs } from 'node:util';
import { startProgress } from '../helper-daemon/cli/text/progressLine.ts';
import { readBootAssets } from '../helper-daemon/images/bootAssets.ts';
import { hostPaths } from '../helper-daemon/system/paths.ts';
import { asCoppiceError } from '../protocol/errors.ts';
import { bootBare, prepareDisk, type BareOptions } from '../test/bench/bareMachine.ts';
import { benchHome } from '../test/bench/benchDaemon.ts';
import {
  measureBoot,
  measureExec,
  measureKnown,
  measureMemory,
  measureTransfer,
  type BenchContext,
} from '../test/bench/measurements.ts';
import { reportTable, writeReport } from '../test/bench/report.ts';
import type { Comparison } from '../test/bench/samples.ts';
import { buildAll } from './build.ts';
import { buildAssets } from './buildAssets.ts';

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    /** Measure what is built already. */
    'no-build': { type: 'boolean', default: false },
  },
});
const rounds = values.quick
  ? { boot: 3, exec: 30, transfer: 2, transferBytes: 64 * 1024 ** 2, list: 20 }
  : { boot: 9, exec: 200, transfer: 5, transferBytes: 256 * 1024 ** 2, list: 100 };

async function main(): Promise<void> {
  const progress = startProgress('Preparing');
  const say = (text: string): void => progress.update(text);
  if (!values['no-build']) {
    await buildAll(['coppice', 'coppiced']);
    await buildAssets({ images: ['debian-dev'] });
  }
  const results: Comparison[] = await measureKnown(say, rounds.list);
  const home = benchHome();
  try {
    const client = await home.connect();
    const image = await client.call('image_build', { name: 'debian-dev' });
    // The first machine settles the accelerator; its boot is not counted.
    const warm = await client.call('workspace_create', {});
    const { accelerator } = await client.call('workspace_info', {
      workspace_id: warm.workspace_id,
    });
    await client.call('workspace_destroy', { workspace_id: warm.workspace_id });
    const bare: BareOptions = {
      directory: home.directory,
      assets: await readBootAssets(),
      image: imageFile(home.directory, image.digest),
      accelerator: accelerator ?? 'tcg',
      vcpus: 2,
      memoryMb: 512,
      diskGb: 10,
    };
    const context: BenchContext = { client, bare, say };
    const boot = await measureBoot(context, rounds.boot);
    const running = await measureRunning(context);
    results.unshift(boot, ...running);
    await home.stop(client);
    progress.stop();
    process.stdout.write(`${reportTable(results)}\n\n`);
    const file = writeReport(path.resolve('bench-results'), results, {
      accelerator,
      quick: values.quick,
    });
    process.stdout.write(`Medians; every sample is in ${path.relative(process.cwd(), file)}.\n`);
  } finally {
    progress.stop();
    home.remove();
  }
}

async function measureRunning(context: BenchContext): Promise<Comparison[]> {
  const { client, bare, say } = context;
  const workspace = await client.call('workspace_create', { memory_mb: 1024 });
  const big = { ...bare, memoryMb: 1024 };
  const machine = await bootBare(big, prepareDisk(big));
  const running = { bare: machine, workspace: workspace.workspace_id };
  try {
    // Memory first: what transfers leave in the page cache of a guest says nothing about us.
    const memory = await measureMemory(context, running);
    const exec = await measureExec(context, running, rounds.exec);
    const transfer = await measureTransfer(context, running, rounds.transferBytes, rounds.transfer);
    return [...exec, ...transfer, ...memory];
  } finally {
    say('clearing up');
    await machine.close();
    await client.call('workspace_destroy', { workspace_id: workspace.workspace_id });
  }
}

function imageFile(home: string, digest: string): string {
  const { images } = hostPaths('user', { COPPICE_HOME: home });
  return path.join(images, `${digest.replace('sha256:', '')}.qcow2`);
}

try {
  await main();
} catch (error) {
  const { message, next } = asCoppiceError(error);
  process.stderr.write(`The bench stopped: ${message}\n${next === undefined ? '' : `${next}\n`}`);
  process.exitCode = 1;
}
