/** What tests of the tree say again and again. */
import type { CoppiceClient } from '../../../helper-daemon/client/client.ts';
import { asCoppiceError, type CoppiceError } from '../../../protocol/errors.ts';

/** Runs a shell command in a machine. @returns its output without the last line break */
export async function sh(client: CoppiceClient, machine: string, command: string): Promise<string> {
  const ran = await client.call('exec', { workspace_id: machine, command });
  if (ran.exit_code !== 0) {
    throw new Error(`${command} in ${machine} ended with ${String(ran.exit_code)}: ${ran.stderr}`);
  }
  return ran.stdout.trimEnd();
}

/** The error of a call that must not succeed. */
export async function refusal(call: Promise<unknown>): Promise<CoppiceError> {
  let value: unknown;
  try {
    value = await call;
  } catch (error) {
    return asCoppiceError(error);
  }
  throw new Error(`should have been refused, but answered ${JSON.stringify(value)}`);
}

/** The tree as `name<parent`, the current snapshot marked with `*`; oldest first. */
export async function drawTree(client: CoppiceClient, machine: string): Promise<string[]> {
  const { snapshots } = await client.call('snapshot_list', { workspace_id: machine });
  const names = new Map(snapshots.map(({ snapshot_id, name }) => [snapshot_id, name]));
  return snapshots.map(({ name, parent, current }) => {
    const below = parent === null ? '' : `<${names.get(parent) ?? '?'}`;
    return `${name}${below}${current ? '*' : ''}`;
  });
}

/** Starts a program that counts in /run/count, and returns its job when it has begun. */
export async function startCounting(client: CoppiceClient, machine: string): Promise<number> {
  const { job_id } = await client.call('process_start', {
    workspace_id: machine,
    command:
      'i=0; while :; do i=$((i+1)); echo $i > /run/count.new; mv /run/count.new /run/count; sleep 0.05; done',
  });
  await sh(client, machine, 'until [ -e /run/count ]; do sleep 0.05; done');
  return job_id;
}

export async function counted(client: CoppiceClient, machine: string): Promise<number> {
  return Number(await sh(client, machine, 'cat /run/count'));
}
