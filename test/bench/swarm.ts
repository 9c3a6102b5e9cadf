/** A swarm of eight against the same eight tasks one after the other. */
import type { CoppiceClient } from '../../helper-daemon/client/client.ts';
import type { BenchContext } from './context.ts';
import { destroy, shell } from './machines.ts';
import { noPromise, timed, type Comparison, type Measured } from './samples.ts';

const workers = 8;

/** What agents' tasks mostly do is wait: for a model, a registry, a test server. */
const kinds = [
  { what: 'tasks that wait', command: 'sleep 2' },
  { what: 'tasks that compute', command: 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done' },
] as const;

export async function measureSwarm({ client, bare, rounds, say }: BenchContext): Promise<Measured> {
  say('preparing');
  const { name, workspace_id } = await client.call('workspace_prepare', {
    name: 'bench-golden',
    vcpus: 1,
    memory_mb: 256,
    disk_gb: bare.diskGb,
  });
  try {
    const comparisons: Comparison[] = [];
    for (const { what, command } of kinds) {
      const [ours, baseline]: [number[], number[]] = [[], []];
      for (let round = 0; round < rounds.swarm; round += 1) {
        say(`${what}, ${String(round + 1)} of ${String(rounds.swarm)}`);
        baseline.push(await inTurn(client, name, command));
        ours.push(await atOnce(client, name, command));
      }
      comparisons.push({
        what: `swarm of ${String(workers)}: ${what}`,
        unit: 'ms',
        ours,
        baselineName: `fork, exec and destroy, ${String(workers)} times`,
        baseline,
        promise: noPromise,
      });
    }
    return { comparisons };
  } finally {
    await destroy(client, workspace_id);
  }
}

async function inTurn(client: CoppiceClient, golden: string, command: string): Promise<number> {
  const { ms } = await timed(async () => {
    for (let worker = 0; worker < workers; worker += 1) {
      const { workers: made, failures } = await client.call('workspace_fork', {
        workspace_id: golden,
        snapshot_name: 'golden',
        ephemeral: true,
      });
      const [copy] = made;
      if (copy === undefined) throw new Error(failures[0]?.error ?? 'no copy was made');
      await shell(client, copy.workspace_id, command);
      await destroy(client, copy.workspace_id);
    }
  });
  return ms;
}

async function atOnce(client: CoppiceClient, golden: string, command: string): Promise<number> {
  const { ms } = await timed(async () => {
    const { swarm_id } = await client.call('swarm_start', {
      golden_workspace: golden,
      max_parallel: workers,
      tasks: Array.from({ length: workers }, (_, index) => ({
        name: `task-${String(index + 1)}`,
        command,
      })),
    });
    const { summary, tasks } = await client.call('swarm_results', { swarm_id, wait_secs: 300 });
    if (summary.succeeded === workers && summary.workers_destroyed === workers) return;
    throw new Error(`the swarm failed: ${tasks.map(({ stderr }) => stderr).join(' ')}`);
  });
  return ms;
}
