/** The part of the quickstart where two work on one repository at once, each in a copy, and are merged. */
import { CoppiceError } from '../protocol/errors.ts';
import type { OutputOf } from '../protocol/operations.ts';
import { run, type Stage } from './quickstartSnapshots.ts';

const golden = 'golden';
const makeRepository =
  'cd /workspace && git init -q -b main && git config user.name Quickstart && git config user.email quickstart@localhost && echo "# Project" > README.md && git add -A && git commit -qm "Begin"';
const workers = ['api', 'docs'] as const;
const waitSecs = 60;

export async function swarmAndMerge(stage: Stage): Promise<void> {
  const { client, machine, signal, step, show } = stage;
  await step('Repository, and a snapshot to work from', async () => {
    await run(client, machine, makeRepository, signal);
    await client.call(
      'snapshot_create',
      { workspace_id: machine, name: golden, include_memory: true },
      { signal },
    );
  });
  const swarm = await step(
    'Two at work at once, then merged',
    async (update) => {
      const { swarm_id } = await client.call('swarm_start', {
        golden_workspace: machine,
        snapshot_name: golden,
        tasks: workers.map((name) => ({
          name,
          workdir: '/workspace',
          command: `echo "by ${name}" > ${name}.txt && git add -A && git commit -qm "Add ${name}"`,
        })),
        merge_strategy: 'branch-per-source',
      });
      return await whenEnded(stage, swarm_id, update);
    },
    ({ summary }) =>
      `${String(summary.succeeded)} tasks done, ${String(summary.workers_destroyed)} workers gone again`,
  );
  const failed = swarm.tasks.find(({ success }) => !success);
  if (failed !== undefined || swarm.merge?.error !== undefined) {
    throw new CoppiceError({
      code: 'command_failed',
      message: `The swarm did not do its work: ${failed?.stderr ?? swarm.merge?.error ?? ''}`,
    });
  }
  const log = 'git -C /workspace log --oneline --no-decorate';
  show(log, await run(client, machine, log, signal));
}

async function whenEnded(
  { client, signal }: Stage,
  swarm_id: string,
  update: (message: string) => void,
): Promise<OutputOf<'swarm_results'>> {
  for (;;) {
    const results = await client.call(
      'swarm_results',
      { swarm_id, wait_secs: waitSecs },
      { signal, onProgress: ({ message }) => update(message) },
    );
    if (results.ended_at !== null) return results;
  }
}
