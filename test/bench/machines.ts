/**
 * Machines of the bench. All are ephemeral: the daemon destroys them when the bench goes away, however it
 * ends. Templates are off but for the moment in which a machine is made from one.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { CoppiceClient } from '../../helper-daemon/client/client.ts';
import type { OutputOf } from '../../protocol/operations.ts';
import type { BenchContext } from './context.ts';
import { timed } from './samples.ts';

export type Origin = 'cold' | 'template' | 'pool';

export interface Made {
  readonly id: string;
  /** From the call until a first command in it has ended. */
  readonly ms: number;
}

/** A machine of the usual size that came into being in this way, or an error: nothing else may be measured. */
export async function makeMachine(context: BenchContext, origin: Origin): Promise<Made> {
  const { client, bare } = context;
  await client.call('pool_set', {
    templates: origin === 'cold' ? 'off' : 'on',
    size: origin === 'pool' ? 1 : 0,
  });
  await untilReady(client, origin === 'pool' ? 1 : 0);
  try {
    const made = await timed(async () => {
      const created = await client.call('workspace_create', {
        vcpus: bare.vcpus,
        memory_mb: bare.memoryMb,
        disk_gb: bare.diskGb,
        ephemeral: true,
      });
      await runTrue(client, created.workspace_id);
      return created;
    });
    const { workspace_id: id, from_pool, from_template } = made.value;
    const really = from_pool ? 'pool' : from_template ? 'template' : 'cold';
    if (really !== origin) throw new Error(`a machine came from ${really} instead of ${origin}`);
    return { id, ms: made.ms };
  } finally {
    // A pool that is being filled again is full before it is emptied: nothing of it runs on.
    if (origin === 'pool') await untilReady(client, 1);
    await client.call('pool_set', { templates: 'off', size: 0 });
    await untilReady(client, 0);
  }
}

/** Builds the template of machines of the usual size. */
export async function prepareTemplate({ client, bare, say }: BenchContext): Promise<void> {
  say('building the template');
  await client.call('pool_set', { templates: 'on' });
  await client.call('pool_prepare', {
    vcpus: bare.vcpus,
    memory_mb: bare.memoryMb,
    disk_gb: bare.diskGb,
  });
  await client.call('pool_set', { templates: 'off' });
}

/** Longer than any pool of the bench takes to fill on a busy machine. */
const fillMs = 60_000;

/** Waits until this many machines stand ready. */
export async function untilReady(client: CoppiceClient, amount: number): Promise<void> {
  const deadline = performance.now() + fillMs;
  for (;;) {
    const { ready } = await client.call('pool_status', {});
    if (ready === amount) return;
    if (performance.now() > deadline) {
      throw new Error(`${String(ready)} machines stand ready instead of ${String(amount)}`);
    }
    await delay(20);
  }
}

export async function runTrue(client: CoppiceClient, id: string): Promise<void> {
  await shell(client, id, 'true');
}

/** What a command prints; an error when it fails. */
export async function shell(client: CoppiceClient, id: string, command: string): Promise<string> {
  const { exit_code, stdout, stderr } = await client.call('exec', { workspace_id: id, command });
  if (exit_code === 0) return stdout;
  throw new Error(`${command.slice(0, 80)} failed in a machine: ${stderr}${stdout}`);
}

export async function destroy(client: CoppiceClient, ...ids: readonly string[]): Promise<void> {
  await Promise.all(ids.map((id) => client.call('workspace_destroy', { workspace_id: id })));
}

export type Forked = OutputOf<'workspace_fork'>;

/** Live copies that have all run a first command; all of them, or an error. */
export async function forkMachine(
  client: CoppiceClient,
  source: string,
  count: number,
): Promise<{ readonly ms: number; readonly fork: Forked; readonly ids: readonly string[] }> {
  const { ms, value } = await timed(async () => {
    const fork = await client.call('workspace_fork', {
      workspace_id: source,
      count,
      ephemeral: true,
    });
    const ids = fork.workers.map(({ workspace_id }) => workspace_id);
    await Promise.all(ids.map((id) => runTrue(client, id)));
    return { fork, ids };
  });
  const [failure] = value.fork.failures;
  if (failure !== undefined) {
    await destroy(client, ...value.ids);
    throw new Error(
      `${String(value.fork.failure_count)} of ${String(count)} copies failed: ${failure.error}`,
    );
  }
  return { ms, ...value };
}
