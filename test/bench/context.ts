/** What every group of measurements works with. */
import type { CoppiceClient } from '../../helper-daemon/client/client.ts';
import type { BareOptions } from './bareMachine.ts';
import type { BenchHome } from './benchDaemon.ts';

export interface BenchContext {
  readonly client: CoppiceClient;
  readonly home: BenchHome;
  /** Also the size of every machine that is not measured at another one. */
  readonly bare: BareOptions;
  readonly rounds: Rounds;
  readonly say: (text: string) => void;
}

export interface Rounds {
  readonly creates: number;
  readonly exec: number;
  readonly transfer: number;
  readonly transferBytes: number;
  readonly list: number;
  readonly snapshots: number;
  readonly forks: number;
  readonly chains: number;
  readonly storage: number;
  readonly swarm: number;
}

export const fullRounds: Rounds = {
  creates: 9,
  exec: 200,
  transfer: 5,
  transferBytes: 256 * 1024 ** 2,
  list: 100,
  snapshots: 5,
  forks: 5,
  chains: 5,
  storage: 5,
  swarm: 3,
};

export const quickRounds: Rounds = {
  creates: 3,
  exec: 30,
  transfer: 2,
  transferBytes: 64 * 1024 ** 2,
  list: 20,
  snapshots: 2,
  forks: 2,
  chains: 2,
  storage: 2,
  swarm: 1,
};
