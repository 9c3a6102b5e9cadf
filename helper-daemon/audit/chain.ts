/** The chain of hashes: each row's covers the row and the hash before it, so none can be changed or left out. */
import { createHash } from 'node:crypto';
import { setImmediate as pause } from 'node:timers/promises';
import type { AuditHead, AuditRow, AuditStore } from '../store/auditStore.ts';

/** What the first row follows. */
export const beginning: AuditHead = { seq: 0, hash: '' };

export interface Verdict {
  readonly ok: boolean;
  /** Rows that were read and found whole. */
  readonly rows: number;
  /** Where the chain ends; keep it elsewhere to be able to prove later that nothing was rewritten. */
  readonly head: AuditHead;
  readonly problem: { readonly seq: number; readonly what: string } | null;
}

export function hashOf(before: string, row: Omit<AuditRow, 'hash'>): string {
  const { seq, at, uid, agent, client, operation, workspaces, target } = row;
  const { outcome, code, times, durationMs } = row;
  const places = workspaces.map(({ id, name }) => [id, name]);
  const fields = [seq, at, uid, agent, client, operation, places, target];
  const text = JSON.stringify([...fields, outcome, code, times, durationMs]);
  return createHash('sha256').update(before).update(text).digest('hex');
}

const step = 500;

/**
 * Reads the whole chain, in parts, so that others are served meanwhile.
 * @param expected an end of the chain that was noted earlier and must still be in it
 */
export async function verifyChain(store: AuditStore, expected?: AuditHead): Promise<Verdict> {
  // What is appended while this runs is not looked at.
  const recorded = store.head() ?? beginning;
  let end = beginning;
  const bad = (seq: number, what: string): Verdict => ({
    ok: false,
    rows: end.seq,
    head: end,
    problem: { seq, what },
  });
  for (;;) {
    const rows = store.list({ afterSeq: end.seq, limit: step });
    for (const row of rows) {
      const next = end.seq + 1;
      if (row.seq !== next) return bad(next, `row ${String(next)} is missing`);
      if (row.hash !== hashOf(end.hash, row)) {
        return bad(next, `row ${String(next)} was changed, or a row before it was replaced`);
      }
      end = { seq: row.seq, hash: row.hash };
      if (end.seq === expected?.seq && end.hash !== expected.hash) {
        return bad(end.seq, `row ${String(end.seq)} is not the one that was noted`);
      }
      if (end.seq === recorded.seq && end.hash !== recorded.hash) {
        return bad(end.seq, `row ${String(end.seq)} is not the one on record as the last`);
      }
    }
    if (rows.length < step) break;
    await pause();
  }
  const least = Math.max(recorded.seq, expected?.seq ?? 0);
  if (end.seq < least) {
    return bad(
      end.seq + 1,
      `rows ${String(end.seq + 1)} to ${String(least)} are missing at the end`,
    );
  }
  return { ok: true, rows: end.seq, head: end, problem: null };
}
