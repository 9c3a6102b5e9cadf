/** The network of a host that cannot have one. */
import { CoppiceError } from '../../../protocol/errors.ts';
import type { AddressPlan } from '../addressPlan.ts';
import type { Network } from '../network.ts';
import { noTraffic } from './accounts.ts';
import { bridgeConflicts } from './conflicts.ts';

/** Nothing can be attached; machines that are connected already stay so, and nobody changes their rules. */
export function unavailableNetwork({
  plan,
  bridge,
  problem,
}: {
  readonly plan: AddressPlan;
  readonly bridge: string;
  readonly problem: string;
}): Network {
  const nothing = (): Promise<void> => Promise.resolve();
  return {
    mode: 'bridge',
    plan,
    problem: () => problem,
    uplinkProblem: () => Promise.resolve(problem),
    checks: () => bridgeConflicts({ plan, bridge, problem }),
    attach() {
      return Promise.reject(
        new CoppiceError({
          code: 'prerequisite_missing',
          message: problem,
          next: 'Run coppice doctor, and restart coppiced when the cause is gone.',
        }),
      );
    },
    connect: nothing,
    apply: nothing,
    detach: nothing,
    settle: nothing,
    traffic: () => Promise.resolve(noTraffic),
    denials: () => Promise.resolve([]),
    close: nothing,
  };
}
