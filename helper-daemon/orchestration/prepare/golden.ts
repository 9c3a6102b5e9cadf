/** The golden snapshot: taken under another name, and put in its place in one step. */
import { CoppiceError } from '../../../protocol/errors.ts';
import type { PreparedRecord } from '../../store/orchestrationStore.ts';
import type { PrepareHost, StepOptions } from './host.ts';

export const goldenName = 'golden';

/**
 * Takes the snapshot that is going to be the golden one, with memory where that is possible: forks of it then
 * continue instead of booting.
 * @returns its id
 */
export async function takePending(
  host: PrepareHost,
  { pendingSnapshot: name }: PreparedRecord,
  workspaceId: string,
  { progress, signal }: StepOptions,
): Promise<string> {
  const draft = { name, description: 'Prepared machine' };
  try {
    await host.takeSnapshot(workspaceId, { ...draft, memory: true }, progress);
  } catch (error) {
    if (signal.aborted || host.workspace(workspaceId) === undefined) throw error;
    host.warn('no memory in the golden snapshot', error);
    await host.takeSnapshot(workspaceId, { ...draft, memory: false }, progress);
  }
  const taken = host.snapshotNamed(workspaceId, name);
  if (taken !== undefined) return taken.id;
  throw new CoppiceError({
    code: 'not_found',
    message: 'The golden snapshot was deleted before it could be used.',
    next: 'Prepare it again.',
  });
}

/**
 * From here on the machine counts as prepared. A golden snapshot from before gives up its name; it goes unless
 * somebody needs it.
 * @returns the name the one before has now, where it stays
 */
export async function publishGolden(
  host: PrepareHost,
  row: PreparedRecord,
  workspaceId: string,
  snapshotId: string,
  digest: string,
): Promise<string | undefined> {
  const before = host.snapshotNamed(workspaceId, goldenName);
  const retired = before === undefined ? undefined : freeName(host, workspaceId, before.createdAt);
  host.transaction(() => {
    if (before !== undefined && retired !== undefined) host.renameSnapshot(before.id, retired);
    host.renameSnapshot(snapshotId, goldenName);
    host.rows.update(row.id, { state: 'ready', digest, snapshotId, problem: null });
  });
  host.announce(snapshotId);
  if (before === undefined || retired === undefined) return undefined;
  host.announce(before.id);
  // One that somebody took by hand is theirs.
  if (before.id !== row.snapshotId || host.isNeeded(before.id)) return retired;
  try {
    await host.deleteSnapshot(workspaceId, retired);
    return undefined;
  } catch (error) {
    host.warn('an old golden snapshot stays', error);
    return retired;
  }
}

/** golden-20261120-143015, with a number behind it if need be. */
function freeName(host: PrepareHost, workspaceId: string, createdAt: string): string {
  const when = createdAt.slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-');
  const plain = `${goldenName}-${when}`;
  for (let number = 1; ; number += 1) {
    const name = number === 1 ? plain : `${plain}-${String(number)}`;
    if (host.snapshotNamed(workspaceId, name) === undefined) return name;
  }
}
