/** What is counted about the daemon's work, and how it is read: as Prometheus text. */
import type { ErrorCode } from '../../protocol/errors.ts';
import type { CoppiceEvent } from '../../protocol/events.ts';
import { bootTimes } from './bootTimes.ts';
import { counter, histogram, type Counter, type Histogram } from './recorder.ts';

/** What an operation was given and what it returned, as far as that is known. */
export interface CallFacts {
  readonly input?: Readonly<Record<string, unknown>> | undefined;
  readonly result?: unknown;
}

/** Numbers as they are at the moment somebody asks. */
export interface Readings {
  /** The state of each workspace. */
  readonly workspaceStates: readonly string[];
  readonly teams: number;
  /** Machines that are ready, and how many should be. */
  readonly pool: { readonly ready: number; readonly size: number };
  readonly clients: number;
  /** Changes of workspaces that run, and those that wait for another of the same workspace. */
  readonly locks: { readonly held: number; readonly waiting: number };
}

export interface Metrics {
  /** A call began; what is returned is called when it has ended. */
  callBegan(name: string): (outcome: 'ok' | ErrorCode, seconds: number, facts?: CallFacts) => void;
  operationFinished(
    name: string,
    outcome: 'ok' | ErrorCode,
    seconds: number,
    facts?: CallFacts,
  ): void;
  /** Boots are seen in the changes of state that clients are told. */
  eventPublished(event: CoppiceEvent): void;
  snapshot(): Snapshot;
}

export interface Snapshot {
  readonly counters: readonly Counter[];
  readonly histograms: readonly Histogram[];
  readonly readings: Omit<Readings, 'workspaceStates'>;
  readonly workspaces: ReadonlyMap<string, number>;
  /** Calls under way by operation. */
  readonly underWay: ReadonlyMap<string, number>;
}

const toHour = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600];
const toMinutes = [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 120];

export function openMetrics(readings: () => Readings): Metrics {
  const operations = counter('coppice_operations_total', 'Calls by operation and how they ended');
  const errors = counter('coppice_errors_total', 'Calls that failed, by error code');
  const execs = counter('coppice_exec_total', 'Commands run, by result');
  const messages = counter('coppice_team_messages_total', 'Messages between members of teams');
  const merges = counter('coppice_merge_total', 'Merges of workspaces, by strategy and result');
  const execSeconds = histogram('coppice_exec_duration_seconds', 'Time commands took', toHour);
  const mergeSeconds = histogram('coppice_merge_duration_seconds', 'Time merges took', toHour);
  const bootSeconds = histogram(
    'coppice_vm_boot_duration_seconds',
    'Time from the start of a machine until it answers',
    toMinutes,
  );
  const boots = bootTimes((seconds) => bootSeconds.observe({}, seconds));
  const underWay = new Map<string, number>();

  function finished(
    name: string,
    outcome: 'ok' | ErrorCode,
    seconds: number,
    { input, result }: CallFacts = {},
  ): void {
    operations.add({ operation: name, outcome });
    if (outcome !== 'ok') errors.add({ error_type: outcome });
    if (name === 'exec' || name === 'exec_parallel') {
      for (const end of execResults(outcome, result)) execs.add({ result: end });
      if (outcome === 'ok') execSeconds.observe({}, seconds);
    }
    if (name === 'team_message' && outcome === 'ok') {
      messages.add({ message_type: messageType(input?.['message_type']) });
    }
    if (name === 'workspace_merge') {
      const strategy = (input as { strategy?: string } | undefined)?.strategy ?? 'unknown';
      merges.add({ strategy, result: mergeResult(outcome, result) });
      mergeSeconds.observe({ strategy }, seconds);
    }
  }

  return {
    callBegan(name) {
      underWay.set(name, (underWay.get(name) ?? 0) + 1);
      return (...end) => {
        const left = (underWay.get(name) ?? 1) - 1;
        if (left > 0) underWay.set(name, left);
        else underWay.delete(name);
        finished(name, ...end);
      };
    },
    operationFinished: finished,
    eventPublished: boots.seen,
    snapshot() {
      const { workspaceStates, ...rest } = readings();
      return {
        counters: [operations, errors, execs, messages, merges],
        histograms: [execSeconds, mergeSeconds, bootSeconds],
        readings: rest,
        workspaces: countBy(workspaceStates),
        underWay,
      };
    },
  };
}

/** States that Prometheus and probes look for are there although no workspace is in them. */
function countBy(states: readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map(['running', 'stopped', 'suspended'].map((state) => [state, 0]));
  for (const state of states) counts.set(state, (counts.get(state) ?? 0) + 1);
  return counts;
}

/** One for each command: success, failure (it ran and its exit code is not 0) or error (it did not run to its end). */
function execResults(outcome: string, result: unknown): readonly string[] {
  if (outcome !== 'ok') return ['error'];
  const { results } = (result ?? {}) as { results?: unknown };
  const all: unknown[] = Array.isArray(results) ? results : [result];
  return all.map((one) => {
    const { exit_code: code, error } = (one ?? {}) as { exit_code?: unknown; error?: unknown };
    if (typeof code !== 'number' || error !== undefined) return 'error';
    return code === 0 ? 'success' : 'failure';
  });
}

function mergeResult(outcome: string, result: unknown): string {
  if (outcome === 'merge_conflict') return 'conflict';
  if (outcome !== 'ok') return 'failed';
  const { conflicts } = (result ?? {}) as { conflicts?: unknown };
  return Array.isArray(conflicts) && conflicts.length > 0 ? 'conflict' : 'merged';
}

/** Senders may make up their own: each would be a series for ever. */
const messageTypes = ['text', 'task_update', 'request', 'response', 'task_assignment'];

function messageType(given: unknown): string {
  const type = typeof given === 'string' ? given : 'text';
  return messageTypes.includes(type) ? type : 'other';
}
