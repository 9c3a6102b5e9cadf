/**
 * Who changed what, and with what outcome: a row before a mutation runs, moved into the append-only, hash-chained
 * table when it has ended. Reading is not recorded; being refused is.
 */
import type { ErrorCode } from '../../protocol/errors.ts';
import type {
  AuditHead,
  AuditQuery,
  AuditRow,
  AuditStore,
  AuditWorkspace,
  PendingRow,
} from '../store/auditStore.ts';
import { beginning, hashOf, verifyChain, type Verdict } from './chain.ts';
import { repeats } from './repeats.ts';
import { summarizeInput } from './summary.ts';

export interface AuditEntry {
  readonly caller: { readonly uid: number; readonly agent: string | null };
  /** Name of the client program. */
  readonly client: string;
  readonly operation: string;
  /** As validated; only a summary without secrets and contents is kept. */
  readonly input: unknown;
  /** Workspaces it names; a name alone where there is none of that name. */
  readonly workspaces: readonly AuditWorkspace[];
  /** It makes room: it may be done although the disk is full, and is recorded when there is some. */
  readonly frees?: boolean;
}

export interface AuditTicket {
  /**
   * Records how it ended, once; never throws.
   * @param made workspaces that came of it (workspacesIn)
   */
  end(outcome: 'ok' | ErrorCode, made?: readonly AuditWorkspace[]): void;
}

export interface Audit {
  /** Before a mutation runs. @throws CoppiceError `no_space`: what cannot be recorded must not be done */
  begin(entry: AuditEntry): AuditTicket;
  /** A call that did not begin; the same within some seconds is counted in one row. Never throws. */
  denied(entry: AuditEntry, code: ErrorCode): void;
  /** At start: what had begun and not ended was interrupted. @returns how many */
  recover(): number;
  list(query: AuditQuery): readonly AuditRow[];
  verify(expected?: AuditHead): Promise<Verdict>;
  /** Writes what is still being counted. */
  close(): void;
}

export interface AuditOptions {
  /** Rows were appended; this is the newest. */
  readonly appended?: (seq: number) => void;
  /** A row could not be written; it is tried again with the next. */
  readonly failed?: (error: unknown) => void;
  /** How long equal denials are counted in one row; default 10 s. */
  readonly repeatMs?: number;
}

const denials: ReadonlySet<string> = new Set(['not_owned', 'rate_limited', 'quota_exceeded']);

/** Whether it means a refusal by policy, wherever in the call it was found. */
export function isDenial(code: ErrorCode): boolean {
  return denials.has(code);
}

/** Rows that could not be written, at most; more can only come of a disk that stays full. */
const unwrittenLimit = 1000;

type Unnumbered = Omit<AuditRow, 'seq' | 'hash'>;

export function openAudit(
  store: AuditStore,
  now: () => Date = () => new Date(),
  options: AuditOptions = {},
): Audit {
  // Whichever is further: what is missing of the chain, or of the record of its end, verify will tell.
  let head = further(store.head() ?? beginning, store.last() ?? beginning);
  let unwritten: { readonly row: Unnumbered; readonly pending: number | null }[] = [];

  function write(row: Unnumbered, pending: number | null): void {
    unwritten.push({ row, pending });
    try {
      flush();
    } catch (error) {
      unwritten = unwritten.slice(-unwrittenLimit);
      options.failed?.(error);
    }
  }

  function flush(): void {
    let end = head;
    const rows = unwritten.map(({ row }) => {
      const numbered = { ...row, seq: end.seq + 1 };
      const hash = hashOf(end.hash, numbered);
      end = { seq: numbered.seq, hash };
      return { ...numbered, hash };
    });
    store.append(
      rows,
      unwritten.flatMap(({ pending }) => (pending === null ? [] : [pending])),
    );
    head = end;
    unwritten = [];
    options.appended?.(head.seq);
  }

  function tryToBegin(row: PendingRow): number | null {
    try {
      return store.begin(row);
    } catch (error) {
      options.failed?.(error);
      return null;
    }
  }

  /** What was refused has not begun after all. */
  function forget(pending: number): void {
    try {
      store.append([], [pending]);
    } catch (error) {
      options.failed?.(error);
    }
  }

  function refused(row: Unnumbered): void {
    const { uid, agent, client, operation, workspaces, code } = row;
    counted.add(JSON.stringify([uid, agent, client, operation, workspaces, code]), row);
  }

  const counted = repeats<Unnumbered>((row, times) => write({ ...row, times }, null), {
    windowMs: options.repeatMs ?? 10_000,
  });

  return {
    begin(entry) {
      const row = rowOf(entry, now());
      const pending = entry.frees === true ? tryToBegin(row) : store.begin(row);
      const started = performance.now();
      let ended = false;
      return {
        end(outcome, made = []) {
          if (ended) return;
          ended = true;
          const workspaces = distinct([...row.workspaces, ...made]);
          const durationMs = Math.round((performance.now() - started) * 1000) / 1000;
          if (outcome !== 'ok' && isDenial(outcome)) {
            if (pending !== null) forget(pending);
            refused({ ...row, outcome: 'denied', code: outcome, times: 1, durationMs });
            return;
          }
          const code = outcome === 'ok' ? null : outcome;
          const how = outcome === 'ok' ? 'ok' : 'failed';
          write({ ...row, workspaces, outcome: how, code, times: 1, durationMs }, pending);
        },
      };
    },
    denied(entry, code) {
      const outcome = isDenial(code) ? 'denied' : 'failed';
      refused({ ...rowOf(entry, now()), outcome, code, times: 1, durationMs: 0 });
    },
    recover() {
      const open = store.pending();
      for (const { id, row } of open) {
        write({ ...row, outcome: 'interrupted', code: null, times: 1, durationMs: null }, id);
      }
      return open.length;
    },
    list: (query) => store.list(query),
    verify: (expected) => verifyChain(store, expected),
    close: () => counted.close(),
  };
}

function further(a: AuditHead, b: AuditHead): AuditHead {
  return b.seq > a.seq ? b : a;
}

function rowOf(entry: AuditEntry, at: Date): PendingRow {
  const { caller, client, operation, input, workspaces } = entry;
  return {
    at: at.toISOString(),
    uid: caller.uid,
    agent: caller.agent,
    client: client.slice(0, 128),
    operation,
    workspaces: distinct(workspaces),
    target: summarizeInput(input),
  };
}

/** By id; one that is only a name gives way to the workspace of that name. */
function distinct(workspaces: readonly AuditWorkspace[]): readonly AuditWorkspace[] {
  const known = new Map<string, AuditWorkspace>();
  for (const { id, name } of workspaces) {
    const key = id ?? `name ${String(name)}`;
    if (!known.has(key)) known.set(key, { id, name });
  }
  const named = new Set(workspaces.filter(({ id }) => id !== null).map(({ name }) => name));
  return [...known.values()].filter(({ id, name }) => id !== null || !named.has(name));
}
