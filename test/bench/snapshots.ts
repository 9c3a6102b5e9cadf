/** What taking a state and going back to it cost, for a machine that booted and for one made from a template. */
import type { BenchContext } from './context.ts';
import { destroy, makeMachine, runTrue } from './machines.ts';
import { alone, noPromise, spreadOf, timed, type Comparison, type Measured } from './samples.ts';

/** Samples of machines of one origin, in ms and MiB. */
interface Samples {
  readonly diskCall: number[];
  readonly diskPause: number[];
  readonly memoryCall: number[];
  readonly memoryPause: number[];
  readonly memoryMib: number[];
  readonly rollback: number[];
  readonly restoreDisk: number[];
  readonly restoreMemory: number[];
}

const origins = ['cold', 'template'] as const;

export async function measureSnapshots(context: BenchContext): Promise<Measured> {
  const { client, rounds, say } = context;
  const cold: number[] = [];
  const samples = { cold: noSamples(), template: noSamples() };
  for (let round = 0; round < rounds.snapshots; round += 1) {
    say(`snapshots ${String(round + 1)} of ${String(rounds.snapshots)}`);
    for (const origin of origins) {
      const { id, ms } = await makeMachine(context, origin);
      if (origin === 'cold') cold.push(ms);
      await sample(context, id, samples[origin]);
      await destroy(client, id);
    }
  }
  const takes = (origin: (typeof origins)[number]): string =>
    `${spreadOf(samples[origin].memoryMib).median.toFixed(1)} MiB`;
  return {
    comparisons: origins.flatMap((origin) => comparisons(origin, samples[origin], cold)),
    notes: [
      `a snapshot with memory takes ${takes('cold')} of a booted machine and ${takes('template')} of one from a template.`,
      'the replies do not tell how much memory was written during a pause; the promise allows that time on top of 50 ms, the verdict does not.',
    ],
  };
}

function noSamples(): Samples {
  return {
    diskCall: [],
    diskPause: [],
    memoryCall: [],
    memoryPause: [],
    memoryMib: [],
    rollback: [],
    restoreDisk: [],
    restoreMemory: [],
  };
}

/** The machine was made just now. */
async function sample({ client }: BenchContext, id: string, samples: Samples): Promise<void> {
  const take = (name: string, include_memory: boolean) =>
    timed(() => client.call('snapshot_create', { workspace_id: id, name, include_memory }));
  const disk = await take('disk', false);
  samples.diskCall.push(disk.ms);
  samples.diskPause.push(disk.value.pause_ms);
  const memory = await take('memory', true);
  samples.memoryCall.push(memory.ms);
  samples.memoryPause.push(memory.value.pause_ms);
  samples.memoryMib.push(memory.value.used_bytes / 1024 ** 2);
  samples.restoreMemory.push(await restoreAndRun(client, id, 'memory'));
  const rollback = await timed(() =>
    client.call('snapshot_restore', { workspace_id: id, name: 'disk', leave_stopped: true }),
  );
  samples.rollback.push(rollback.ms);
  samples.restoreDisk.push(await restoreAndRun(client, id, 'disk'));
}

async function restoreAndRun(
  client: BenchContext['client'],
  id: string,
  name: 'disk' | 'memory',
): Promise<number> {
  const { ms, value } = await timed(async () => {
    const restored = await client.call('snapshot_restore', { workspace_id: id, name });
    await runTrue(client, id);
    return restored;
  });
  if (value.resumed !== (name === 'memory')) throw new Error(`${name} was restored the other way`);
  return ms;
}

function nameOf(origin: (typeof origins)[number]): string {
  return origin === 'cold' ? 'booted machine' : 'machine from a template';
}

function comparisons(
  origin: (typeof origins)[number],
  samples: Samples,
  cold: readonly number[],
): Comparison[] {
  const of = nameOf(origin);
  const pause = { kind: 'at most', limit: 50 } as const;
  const againstCold = (what: string, ours: readonly number[]): Comparison => ({
    what,
    unit: 'ms',
    ours,
    baselineName: 'cold create → first exec',
    baseline: cold,
    promise: noPromise,
  });
  return [
    alone(`snapshot of the disk, ${of}`, 'ms', samples.diskCall),
    alone(`  pause for the disk, ${of}`, 'ms', samples.diskPause, pause),
    alone(`snapshot with memory, ${of}`, 'ms', samples.memoryCall),
    alone(`  pause for memory, ${of}`, 'ms', samples.memoryPause, pause),
    againstCold(`restore with memory → exec, ${of}`, samples.restoreMemory),
    againstCold(`restore of the disk → stopped, ${of}`, samples.rollback),
    againstCold(`restore of the disk → exec, ${of}`, samples.restoreDisk),
  ];
}
