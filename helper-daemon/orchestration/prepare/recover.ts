/** What a daemon that died had begun to prepare: nothing half-made is ever given out as prepared. */
import type { PreparedRecord } from '../../store/orchestrationStore.ts';
import type { WorkspaceRecord } from '../../store/workspaceStore.ts';
import type { PrepareHost } from './host.ts';
import { takeBack } from './takeBack.ts';

const problem = 'Interrupted: the daemon ended while it was prepared.';

/** Call it after workspaces have been recovered and before calls are taken. */
export async function recoverPrepares(host: PrepareHost): Promise<void> {
  for (const row of host.rows.underWay()) {
    const record = machineOf(host, row);
    try {
      if (record === undefined) host.rows.remove(row.id);
      else await takeBack(host, row, record.id, problem);
    } catch (error) {
      // Its row stays, so that the next start tries again.
      host.warn(`the preparation of ${row.workspaceName} could not be taken back`, error);
    }
  }
}

/** A machine that was made just before the end is known by its name alone. */
function machineOf(host: PrepareHost, row: PreparedRecord): WorkspaceRecord | undefined {
  if (row.workspaceId !== null) return host.workspace(row.workspaceId);
  const made = host.named(row.workspaceName);
  return made !== undefined && made.owner === row.owner && made.createdAt >= row.startedAt
    ? made
    : undefined;
}
