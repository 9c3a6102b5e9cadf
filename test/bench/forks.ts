/** Live copies: from the call to a first command in every one of them, beside the engine alone. */
import { openBareForks, type BareForkSample } from './bareFork.ts';
import type { BenchContext } from './context.ts';
import { destroy, forkMachine, makeMachine, type Forked } from './machines.ts';
import { availableMemory } from './processMemory.ts';
import { alone, noPromise, spreadOf, type Comparison, type Measured } from './samples.ts';

const many = 32;
/** What a copy may come to take under TCG while it runs its first command, in MiB; generous. */
const roomPerCopy = 160;

interface Samples {
  readonly ms: number[];
  /** Of each copy, by the daemon's own account. */
  readonly ready: number[];
  readonly pause: number[];
}

export async function measureForks(context: BenchContext): Promise<Measured> {
  const { client, bare, rounds, say } = context;
  const cold: number[] = [];
  const raw: BareForkSample[] = [];
  const rawEight: BareForkSample[] = [];
  const [ofCold, one, eight, all] = [noSamples(), noSamples(), noSamples(), noSamples()];
  say('the engine alone');
  const bareForks = await openBareForks(bare);
  try {
    for (let round = 0; round < rounds.forks; round += 1) {
      say(`forks ${String(round + 1)} of ${String(rounds.forks)}`);
      const booted = await makeMachine(context, 'cold');
      cold.push(booted.ms);
      await sample(context, booted.id, 1, ofCold);
      await destroy(client, booted.id);
      raw.push(await bareForks.sample(1));
      rawEight.push(await bareForks.sample(8));
      const { id } = await makeMachine(context, 'template');
      await sample(context, id, 1, one);
      await sample(context, id, 8, eight);
      await destroy(client, id);
    }
  } finally {
    await bareForks.close();
  }
  const skipped = whyNotMany();
  if (skipped === undefined) {
    say(`${String(many)} copies`);
    const { id } = await makeMachine(context, 'template');
    await sample(context, id, many, all);
    await destroy(client, id);
  }
  return {
    comparisons: [
      ...times({ cold, ofCold, one, eight, all }),
      ...besideTheEngine(one, eight, raw, rawEight),
      ...pauses(ofCold, one, raw),
    ],
    notes: [...(skipped === undefined ? [] : [skipped]), describeCapture(raw)],
  };
}

function noSamples(): Samples {
  return { ms: [], ready: [], pause: [] };
}

async function sample(
  { client }: BenchContext,
  source: string,
  count: number,
  samples: Samples,
): Promise<void> {
  const { ms, fork, ids } = await forkMachine(client, source, count);
  await destroy(client, ...ids);
  requireLive(fork);
  samples.ms.push(ms);
  samples.ready.push(...fork.workers.map(({ ready_ms }) => ready_ms));
  samples.pause.push(fork.pause_ms ?? Number.NaN);
}

function requireLive({ live }: Forked): void {
  if (!live) throw new Error('the copies booted instead of continuing');
}

function whyNotMany(): string | undefined {
  const available = Math.floor(availableMemory());
  const needed = many * roomPerCopy;
  if (available >= needed) return undefined;
  return `${String(many)} copies not measured: ${String(available)} MiB of memory are available, ${String(needed)} might be needed.`;
}

function times(samples: {
  readonly cold: readonly number[];
  readonly ofCold: Samples;
  readonly one: Samples;
  readonly eight: Samples;
  readonly all: Samples;
}): Comparison[] {
  const { cold, ofCold, one, eight, all } = samples;
  const againstCold = {
    unit: 'ms',
    baselineName: 'cold create → first exec',
    baseline: cold,
  } as const;
  const whole = many === all.ready.length;
  return [
    {
      ...againstCold,
      what: 'fork → first exec, source from a template',
      ours: one.ms,
      promise: { kind: 'ratio at most', limit: 0.25 },
    },
    {
      ...againstCold,
      what: 'fork → first exec, source booted',
      ours: ofCold.ms,
      promise: { kind: 'ratio at most', limit: 0.25 },
    },
    {
      ...againstCold,
      what: 'fork × 8 → exec in all',
      ours: eight.ms,
      promise: { kind: 'ratio at most', limit: 0.6 },
    },
    alone('  each of 8 copies ready', 'ms', eight.ready),
    ...(whole
      ? [
          {
            ...againstCold,
            what: `fork × ${String(many)} → exec in all`,
            ours: all.ms,
            promise: noPromise,
          },
          alone(`  each of ${String(many)} copies ready`, 'ms', all.ready),
        ]
      : []),
  ];
}

/** What the daemon adds to what the engine needs. */
function besideTheEngine(
  one: Samples,
  eight: Samples,
  raw: readonly BareForkSample[],
  rawEight: readonly BareForkSample[],
): Comparison[] {
  const against = (what: string, ours: Samples, bare: readonly BareForkSample[]): Comparison => ({
    what,
    unit: 'ms',
    ours: ours.ms,
    baselineName: 'engine alone: capture, resume, identity, exec',
    baseline: bare.map(({ captureMs, resumeMs, execMs }) => captureMs + resumeMs + execMs),
    promise: noPromise,
  });
  const part = (what: string, of: (sample: BareForkSample) => number): Comparison =>
    alone(`  engine alone, one copy: ${what}`, 'ms', raw.map(of));
  return [
    against('fork → first exec, source from a template', one, raw),
    part('capture', ({ captureMs }) => captureMs),
    part('resume → ping', ({ resumeMs }) => resumeMs),
    part('identity, exec', ({ execMs }) => execMs),
    against('fork × 8 → exec in all', eight, rawEight),
  ];
}

function pauses(ofCold: Samples, one: Samples, raw: readonly BareForkSample[]): Comparison[] {
  const against = (what: string, { pause }: Samples): Comparison => ({
    what,
    unit: 'ms',
    ours: pause,
    baselineName: 'engine alone, source from an image',
    baseline: raw.map(({ pausedMs }) => pausedMs),
    promise: { kind: 'at most', limit: 50 },
  });
  return [
    against('pause of a source from a template', one),
    against('pause of a source that booted', ofCold),
  ];
}

function describeCapture(raw: readonly BareForkSample[]): string {
  const copied = spreadOf(raw.map(({ copiedBytes }) => copiedBytes / 1024 ** 2));
  return `the engine alone writes ${copied.median.toFixed(1)} MiB during the pause (middle half ${copied.low.toFixed(1)}–${copied.high.toFixed(1)}).`;
}
