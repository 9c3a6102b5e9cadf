/** For measurements that need a running machine: one of ours, and one of the same size without a daemon. */
import { bootBare, prepareDisk, type BareMachine } from './bareMachine.ts';
import type { BenchContext } from './context.ts';
import { destroy } from './machines.ts';

export interface Running {
  readonly bare: BareMachine;
  readonly workspace: string;
}

/** A transfer needs room in the guest. */
const memoryMb = 1024;

export async function withRunning<T>(
  { client, bare, say }: BenchContext,
  work: (running: Running) => Promise<T>,
): Promise<T> {
  const { workspace_id: workspace } = await client.call('workspace_create', {
    memory_mb: memoryMb,
    ephemeral: true,
  });
  try {
    const big = { ...bare, memoryMb };
    const machine = await bootBare(big, prepareDisk(big));
    try {
      return await work({ bare: machine, workspace });
    } finally {
      say('clearing up');
      await machine.close();
    }
  } finally {
    await destroy(client, workspace);
  }
}
