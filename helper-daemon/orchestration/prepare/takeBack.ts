/** Undoing a preparation that failed or was interrupted. */
import type { PreparedRecord } from '../../store/orchestrationStore.ts';
import type { PrepareHost } from './host.ts';

/** A fresh machine goes; one that was there before stays, with the golden snapshot it had. */
export async function takeBack(
  host: PrepareHost,
  row: PreparedRecord,
  workspaceId: string,
  problem: string,
): Promise<void> {
  if (row.fresh) {
    if (host.workspace(workspaceId) !== undefined) await host.destroy(workspaceId);
    host.rows.remove(row.id);
    return;
  }
  if (host.snapshotNamed(workspaceId, row.pendingSnapshot) !== undefined) {
    await host.deleteSnapshot(workspaceId, row.pendingSnapshot);
  }
  const hasGolden = row.snapshotId !== null && host.snapshot(row.snapshotId) !== undefined;
  host.rows.update(row.id, { state: hasGolden ? 'ready' : 'failed', problem });
}
