/** Which workers a swarm destroys in the end: all but those whose work is nowhere else. */
import type { SwarmTaskRecord } from '../../store/orchestrationStore.ts';
import type { SwarmHost } from './host.ts';

/** How the merge of a swarm went, as its row keeps it. */
export interface MergeOutcome {
  readonly strategy: string;
  readonly target_workspace: string;
  /** Reply of the merge, as JSON. */
  readonly detail?: string;
  readonly error?: string;
  /** Names of workers with commits that did not get into the target. */
  readonly kept: readonly string[];
}

/** Tasks whose workers are still to be destroyed. */
export function leftovers({ rows }: Pick<SwarmHost, 'rows'>, id: string): SwarmTaskRecord[] {
  const merge = rows.byId(id)?.merge ?? null;
  const kept = merge === null ? [] : (JSON.parse(merge) as MergeOutcome).kept;
  return rows
    .tasks(id)
    .filter(({ workerName, workerGone }) => !workerGone && !kept.includes(workerName));
}
