/** Memory of machines that do nothing: those that continued from an image beside one that booted. */
import { setTimeout as delay } from 'node:timers/promises';
import type { BenchContext } from './context.ts';
import { destroy, forkMachine, makeMachine, untilReady } from './machines.ts';
import { privateOf, pssOf, translatedOf } from './processMemory.ts';
import { noPromise, type Comparison, type Measured } from './samples.ts';

/** Enough for pages that are shared to count as shared. */
const siblings = 4;
/** What a first command left to do is over by then. */
const idleMs = 5_000;

interface Memory {
  readonly own: number[];
  /** Own, without translated code. */
  readonly untranslated: number[];
  readonly share: number[];
}

export async function measureMemory(context: BenchContext): Promise<Measured> {
  const { client, bare, home, say } = context;
  const made: string[] = [];
  try {
    say('idle machines');
    const cold = await several(2, async () => (await makeMachine(context, 'cold')).id, made);
    const born = await several(
      siblings,
      async () => (await makeMachine(context, 'template')).id,
      made,
    );
    const forked = await forkMachine(client, born[0] ?? '', siblings);
    made.push(...forked.ids);
    const others = new Set(home.machines());
    await client.call('pool_set', { templates: 'on', size: siblings });
    await untilReady(client, siblings);
    const pool = home.machines().filter((pid) => !others.has(pid));
    await delay(idleMs);
    const booted = await byStats(context, cold);
    return {
      comparisons: [
        ...beside('copy of a live machine', await byStats(context, forked.ids), booted, true),
        // The first one was the source of the copies.
        ...beside('machine from a template', await byStats(context, born.slice(1)), booted, true),
        ...beside('pool member standing ready', byProcess(pool), booted, false),
      ],
      notes: [
        `machines of ${String(bare.memoryMb)} MiB, idle for ${String(idleMs / 1000)} s after true; ${String(siblings)} siblings of each kind. Under TCG a process holds code that QEMU translated; under KVM there is none.`,
      ],
    };
  } finally {
    await client.call('pool_set', { templates: 'off', size: 0 });
    await untilReady(client, 0);
    await destroy(client, ...made);
  }
}

async function several(
  amount: number,
  make: () => Promise<string>,
  made: string[],
): Promise<readonly string[]> {
  const ids: string[] = [];
  for (let index = 0; index < amount; index += 1) {
    const id = await make();
    made.push(id);
    ids.push(id);
  }
  return ids;
}

/** As the daemon tells. */
async function byStats({ client }: BenchContext, ids: readonly string[]): Promise<Memory> {
  const memory: Memory = { own: [], untranslated: [], share: [] };
  for (const id of ids) {
    const stats = await client.call('workspace_stats', { workspace_id: id });
    const { pid } = await client.call('workspace_info', { workspace_id: id });
    const own = stats.host_private_bytes / 1024 ** 2;
    memory.own.push(own);
    memory.untranslated.push(own - translatedOf(pid ?? 0));
    memory.share.push(stats.host_proportional_bytes / 1024 ** 2);
  }
  return memory;
}

/** Of machines that no caller sees yet. */
function byProcess(pids: readonly number[]): Memory {
  const own = pids.map(privateOf);
  return {
    own,
    untranslated: pids.map((pid, index) => (own[index] ?? Number.NaN) - translatedOf(pid)),
    share: pids.map(pssOf),
  };
}

function beside(what: string, ours: Memory, cold: Memory, promised: boolean): Comparison[] {
  return [
    {
      what: `${what}, private`,
      unit: 'MiB',
      ours: ours.own,
      baselineName: 'private memory of a machine that booted',
      baseline: cold.own,
      promise: promised ? { kind: 'ratio at most', limit: 0.25 } : noPromise,
    },
    {
      what: '  without translated code',
      unit: 'MiB',
      ours: ours.untranslated,
      baselineName: 'the same of a machine that booted',
      baseline: cold.untranslated,
      promise: noPromise,
    },
    {
      what: '  with its share of the rest',
      unit: 'MiB',
      ours: ours.share,
      baselineName: 'the same of a machine that booted',
      baseline: cold.share,
      promise: noPromise,
    },
  ];
}
