/** What machines on a bridge cost each other: rules that come and go, and the way of a packet past them. */
import path from 'node:path';
import type { BenchContext } from './context.ts';
import { networkBed } from './networkBed.ts';
import type { RuleSamples } from './networkRules.ts';
import { noPromise, type Comparison, type Measured } from './samples.ts';

const sizes = [1, 100, 1000] as const;
const kinds = ['same connection', 'new connections'] as const;

/** In namespaces of its own; needs root, as the bridge does. */
export async function measureNetwork({
  rounds,
  say,
}: Pick<BenchContext, 'rounds' | 'say'>): Promise<Measured> {
  const script = path.join(import.meta.dirname, 'networkRules.ts');
  // The bridge of both is the one that the script makes; the second then loses its rules.
  const ruled = await networkBed(async (host) => {
    await host.exec(process.execPath, '--no-warnings', script, '1', '0');
  });
  const bare = await networkBed(async (host) => {
    await host.exec(process.execPath, '--no-warnings', script, '1', '0');
    await host.exec('nft', 'flush', 'ruleset');
  });
  const comparisons: Comparison[] = [];
  try {
    for (const size of sizes) {
      say(`network, ${String(size)} machines`);
      const args = ['--no-warnings', script, String(size), String(rounds.creates)];
      const rules = JSON.parse(await ruled.host.exec(process.execPath, ...args)) as RuleSamples;
      comparisons.push(...describeRules(size, rules));
      for (const kind of kinds) {
        const [ours, baseline] = [[] as number[], [] as number[]];
        for (let round = 0; round < rounds.creates; round += 1) {
          ours.push(await ruled.sendThousand(kind));
          baseline.push(await bare.sendThousand(kind));
        }
        comparisons.push({
          what: `1,000 packets, ${kind}, ${size.toLocaleString('en')} machines`,
          unit: 'ms',
          ours,
          baselineName: 'the same bridge without rules',
          baseline,
          promise: noPromise,
        });
      }
    }
  } finally {
    await bare.close();
    await ruled.close();
  }
  return {
    comparisons,
    notes: ['packets: without any rules there is no connection tracking and no translation either'],
  };
}

function describeRules(
  size: number,
  { add, remove, bareAdd, bareRemove }: RuleSamples,
): Comparison[] {
  const nth = size === 1 ? '1st' : `${size.toLocaleString('en')}th`;
  const common = { unit: 'ms', promise: noPromise } as const;
  return [
    {
      ...common,
      what: `rules of the ${nth} machine: add`,
      ours: add,
      baselineName: 'nft adds one element to an empty set',
      baseline: bareAdd,
    },
    {
      ...common,
      what: `rules of the ${nth} machine: remove`,
      ours: remove,
      baselineName: 'nft removes one element',
      baseline: bareRemove,
    },
  ];
}
