/**
 * Retried calls act once: what a call with a key did, or why it failed, is kept for a day, and a second call
 * with the same key gets that, or waits for the first where it still runs.
 */
import { createHash } from 'node:crypto';
import {
  asCoppiceError,
  CoppiceError,
  type ErrorBody,
  type ErrorCode,
} from '../../protocol/errors.ts';
import type { IdempotencyStore } from '../store/idempotencyStore.ts';

export interface KeyedCalls {
  /**
   * Runs `work` unless a call with this key has run before.
   * @throws CoppiceError what the first call failed with; `idempotency_conflict` when that was another call;
   * `outcome_unknown` when the daemon ended before the first one did
   */
  once(call: Call, work: () => Promise<unknown>): Promise<unknown>;
}

interface Call {
  /** Key of the caller: keys of different callers have nothing to do with each other. */
  readonly caller: string;
  readonly key: string;
  readonly operation: string;
  readonly input: unknown;
}

const keptMs = 24 * 3600 * 1000;
/** Of all outcomes together; the oldest go first. */
const keptBytes = 64 * 1024 * 1024;
/** Larger replies are not kept: a repeated call is told that the first one succeeded. */
const replyBytes = 1024 * 1024;
const pruneEvery = 64;

/** After these nothing has happened, so a retry may act. */
const harmless: ReadonlySet<ErrorCode> = new Set([
  'invalid_input',
  'not_found',
  'not_owned',
  'wrong_state',
  'busy',
  'quota_exceeded',
  'rate_limited',
  'limit_exceeded',
  'no_space',
  'no_memory',
  'not_started',
  'guest_unreachable',
  'prerequisite_missing',
  'boot_assets_missing',
]);

type Outcome = { readonly result: unknown } | { readonly error: ErrorBody };

export function keyedCalls(store: IdempotencyStore, now: () => Date): KeyedCalls {
  const underWay = new Map<string, Promise<unknown>>();
  let untilPrune = 0;

  function record(call: Call, outcome: Outcome): void {
    const text = JSON.stringify(outcome);
    store.setOutcome(
      call.caller,
      call.key,
      text.length <= replyBytes ? text : JSON.stringify({ error: tooLarge(call) }),
    );
  }

  async function run(call: Call, work: () => Promise<unknown>): Promise<unknown> {
    try {
      const result = await work();
      record(call, { result: result ?? null });
      return result;
    } catch (error) {
      const failure = asCoppiceError(error);
      if (harmless.has(failure.code)) store.remove(call.caller, call.key);
      else record(call, { error: failure.toBody() });
      throw error;
    }
  }

  return {
    once(call, work) {
      const inputSha256 = createHash('sha256').update(canonical(call.input)).digest('hex');
      const name = `${call.caller}\n${call.key}`;
      const known = store.find(call.caller, call.key);
      if (known !== undefined) {
        if (known.operation !== call.operation || known.inputSha256 !== inputSha256) {
          return Promise.reject(conflict(call, known.operation));
        }
        const running = underWay.get(name);
        if (running !== undefined) return running;
        return known.outcome === null
          ? Promise.reject(lostOutcome(call))
          : replay(JSON.parse(known.outcome) as Outcome);
      }
      if (untilPrune === 0) {
        store.prune(new Date(now().getTime() - keptMs).toISOString(), keptBytes);
        untilPrune = pruneEvery;
      }
      untilPrune -= 1;
      store.insert(
        call.caller,
        call.key,
        { operation: call.operation, inputSha256, outcome: null },
        now().toISOString(),
      );
      const running = run(call, work).finally(() => underWay.delete(name));
      underWay.set(name, running);
      return running;
    },
  };
}

function replay(outcome: Outcome): Promise<unknown> {
  return 'error' in outcome
    ? Promise.reject(new CoppiceError(outcome.error))
    : Promise.resolve(outcome.result);
}

function conflict({ key }: Call, operation: string): CoppiceError {
  return new CoppiceError({
    code: 'idempotency_conflict',
    message: `The idempotency key ${key} was used for another call (${operation}).`,
    next: 'Use a new key for every new call; repeat a key only with exactly the same input.',
  });
}

function lostOutcome({ operation }: Call): CoppiceError {
  return new CoppiceError({
    code: 'outcome_unknown',
    message: `The daemon ended while ${operation} ran; it may have acted or not.`,
    next: 'Look at what is there (workspace_list, workspace_info), then call again with a new key.',
  });
}

function tooLarge({ operation }: Call): ErrorBody {
  return {
    code: 'outcome_unknown',
    message: `${operation} succeeded the first time, but its reply was too large to be kept.`,
    next: 'Do not call it again; read what it made instead.',
  };
}

/** JSON with the fields of every object in one order. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, entry: unknown) =>
    typeof entry === 'object' && entry !== null && !Array.isArray(entry)
      ? Object.fromEntries(Object.entries(entry).sort(([a], [b]) => (a < b ? -1 : 1)))
      : entry,
  );
}
