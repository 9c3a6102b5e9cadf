/**
 * Swarms: runs of the daemon's own. A caller starts one and waits for it as often as it likes; rows say how far it
 * is, before anything is made, so that a daemon that starts goes on with those of the one before.
 */
import { rm } from 'node:fs/promises';
import { CoppiceError } from '../../../protocol/errors.ts';
import type { SwarmState } from '../../../protocol/operations/swarm.ts';
import type { SwarmRecord } from '../../store/orchestrationStore.ts';
import { mayUse, type Caller } from '../../workspaces/callers.ts';
import { driveSwarm } from './drive.ts';
import { leftovers } from './kept.ts';
import type { SwarmHost } from './host.ts';
import { noSecrets, swarmDirectory, type LiveSwarm, type SwarmSecrets } from './live.ts';
import type { SwarmInput, SwarmPlan } from './plan.ts';
import { planSwarm } from './start.ts';
import {
  listView,
  progressLine,
  resultsView,
  statusView,
  type Listed,
  type Results,
  type Status,
} from './views.ts';

/** Ended ones whose rows and files are kept. */
const keptSwarms = 50;

export interface Swarms {
  /** @throws CoppiceError see swarm_start in protocol/ */
  start(
    input: SwarmInput,
    caller: Caller,
  ): Promise<{ swarm_id: string; tasks: number; output_dir: string }>;
  status(id: string | undefined, caller: Caller): Status;
  results(
    id: string | undefined,
    caller: Caller,
    wait: {
      readonly seconds: number;
      readonly signal: AbortSignal;
      readonly progress: (message: string, fraction?: number) => void;
    },
  ): Promise<Results>;
  cancel(id: string, caller: Caller): { swarm_id: string; state: SwarmState };
  list(caller: Caller): Listed[];
  /** Goes on with, or ends, what another daemon had begun. Call it once, when workspaces have been recovered. */
  recover(): void;
  /** Whether a swarm still forks from this snapshot. */
  isInUse(snapshotId: string): boolean;
  underWay(): number;
  /** Lets go of everything; the next daemon goes on. */
  close(): Promise<void>;
}

export function swarms(host: SwarmHost): Swarms {
  const under = new Map<string, { readonly live: LiveSwarm; readonly done: Promise<void> }>();
  const closing = new AbortController();

  function launch(record: SwarmRecord, plan: SwarmPlan, secrets: SwarmSecrets): void {
    const live: LiveSwarm = {
      record,
      plan,
      secrets,
      directory: swarmDirectory(host, record.id),
      cancel: new AbortController(),
      stop: closing.signal,
      listeners: new Set(),
    };
    if (record.cancelled) live.cancel.abort();
    const done = driveSwarm(host, live)
      .catch((error: unknown) => {
        // Its rows stay as they are: the next daemon tries again.
        if (!closing.signal.aborted) host.warn(`${record.id} was not brought to its end`, error);
      })
      .finally(() => {
        under.delete(record.id);
        for (const listener of live.listeners) listener();
      });
    under.set(record.id, { live, done });
    void done.then(() => (closing.signal.aborted ? undefined : forgetOld(host)));
  }

  function find(id: string | undefined, caller: Caller): SwarmRecord {
    const found =
      id === undefined
        ? host.rows.all().find(({ owner }) => mayUse(caller, owner))
        : host.rows.byId(id);
    if (found === undefined) {
      throw new CoppiceError({
        code: 'not_found',
        message: id === undefined ? 'You have no swarm.' : `There is no swarm ${id}.`,
        next: 'List yours with coppice swarm list (swarm_list).',
      });
    }
    if (mayUse(caller, found.owner)) return found;
    throw new CoppiceError({
      code: 'not_owned',
      message: `${found.id} was started by somebody else.`,
      next: 'List yours with coppice swarm list (swarm_list).',
    });
  }

  return {
    async start(input, caller) {
      if (closing.signal.aborted) throw ending();
      const { record, plan, secrets } = await planSwarm(host, input, caller);
      launch(record, plan, secrets);
      return {
        swarm_id: record.id,
        tasks: plan.tasks.length,
        output_dir: swarmDirectory(host, record.id),
      };
    },
    status: (id, caller) => statusView(host, find(id, caller)),
    async results(id, caller, { seconds, signal, progress }) {
      const swarm = find(id, caller);
      const current = under.get(swarm.id);
      if (current !== undefined && seconds > 0) {
        const tell = (): void => {
          const { state } = host.rows.byId(swarm.id) ?? swarm;
          const { message, fraction } = progressLine(state, host.rows.tasks(swarm.id));
          progress(message, fraction);
        };
        current.live.listeners.add(tell);
        tell();
        try {
          await waitFor(current.done, seconds * 1000, signal);
        } finally {
          current.live.listeners.delete(tell);
        }
      }
      return await resultsView(host, host.rows.byId(swarm.id) ?? swarm);
    },
    cancel(id, caller) {
      const { id: swarm_id, endedAt } = find(id, caller);
      if (endedAt === null) {
        host.rows.update(swarm_id, { cancelled: true });
        under.get(swarm_id)?.live.cancel.abort();
      }
      return { swarm_id, state: find(id, caller).state };
    },
    list: (caller) =>
      host.rows
        .all()
        .filter(({ owner }) => mayUse(caller, owner))
        .map((swarm) => listView(host, swarm)),
    recover() {
      for (const record of host.rows.all()) {
        const plan = JSON.parse(record.plan) as SwarmPlan;
        if (record.endedAt === null || hasLeftovers(host, record, plan)) {
          launch(record, plan, noSecrets);
        }
      }
    },
    isInUse: (snapshotId) =>
      [...under.values()].some(({ live }) => live.record.snapshotId === snapshotId),
    underWay: () => under.size,
    async close() {
      closing.abort();
      await Promise.allSettled([...under.values()].map(({ done }) => done));
    },
  };
}

function hasLeftovers(host: SwarmHost, { id }: SwarmRecord, { cleanup }: SwarmPlan): boolean {
  return cleanup && leftovers(host, id).some(({ workspaceId }) => workspaceId !== null);
}

/** Files first: a swarm without a row would keep them for ever. */
async function forgetOld(host: SwarmHost): Promise<void> {
  const ended = host.rows.all().filter(({ endedAt }) => endedAt !== null);
  for (const { id } of ended.slice(keptSwarms)) {
    try {
      await rm(swarmDirectory(host, id), { recursive: true, force: true });
      host.rows.remove(id);
    } catch (error) {
      host.warn(`${id} was not forgotten`, error);
    }
  }
}

async function waitFor(done: Promise<void>, ms: number, signal: AbortSignal): Promise<void> {
  const over = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => over.resolve(undefined), ms);
  const aborted = (): void =>
    over.reject(
      new CoppiceError({
        code: 'cancelled',
        message: 'The call was given up; the swarm goes on.',
        next: 'Wait for it again with its swarm_id, or end it with swarm_cancel.',
      }),
    );
  signal.addEventListener('abort', aborted, { once: true });
  if (signal.aborted) aborted();
  try {
    await Promise.race([done, over.promise]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', aborted);
  }
}

function ending(): CoppiceError {
  return new CoppiceError({
    code: 'daemon_unavailable',
    message: 'The daemon is about to end.',
    next: 'Try again in a moment.',
  });
}
