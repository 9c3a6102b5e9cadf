/** From the call to the first command in a new machine, by the three ways in which machines come into being. */
import { bootBare, prepareDisk } from './bareMachine.ts';
import type { BenchContext } from './context.ts';
import { destroy, makeMachine, type Origin } from './machines.ts';
import { noPromise, timed, type Measured } from './samples.ts';

export async function measureCreates(context: BenchContext): Promise<Measured> {
  const { client, rounds, say } = context;
  const raw: number[] = [];
  const times = { cold: [] as number[], template: [] as number[], pool: [] as number[] };
  const origins: readonly Origin[] = ['cold', 'template', 'pool'];
  for (let round = 0; round < rounds.creates; round += 1) {
    say(`create ${String(round + 1)} of ${String(rounds.creates)}`);
    raw.push(await bareBoot(context));
    for (const origin of origins) {
      const { id, ms } = await makeMachine(context, origin);
      times[origin].push(ms);
      await destroy(client, id);
    }
  }
  const ours = (origin: Origin) => ({
    what: `${origin} create → first exec`,
    unit: 'ms' as const,
    ours: times[origin],
  });
  const againstCold = { baselineName: 'cold create → first exec', baseline: times.cold };
  return {
    comparisons: [
      {
        ...ours('cold'),
        baselineName: 'QEMU + kernel + agent boot → exec',
        baseline: raw,
        promise: { kind: 'ratio at most', limit: 1.15 },
      },
      { ...ours('template'), ...againstCold, promise: { kind: 'ratio at most', limit: 0.2 } },
      { ...ours('pool'), ...againstCold, promise: noPromise },
    ],
  };
}

async function bareBoot({ bare }: BenchContext): Promise<number> {
  const disk = prepareDisk(bare);
  const { ms, value: machine } = await timed(async () => {
    const booted = await bootBare(bare, disk);
    await booted.clients.process.exec({ spec: { command: 'true' } });
    return booted;
  });
  await machine.close();
  return ms;
}
