/**
 * Preparing machines: each is set up once and kept as the snapshot `golden`. A preparation belongs to the daemon,
 * not to the call that asked for it: calls join it, and it goes on when they are gone.
 */
import { CoppiceError } from '../../../protocol/errors.ts';
import type { PreparedRecord } from '../../store/orchestrationStore.ts';
import type { WorkspaceRecord } from '../../store/workspaceStore.ts';
import { callerKey, type Caller } from '../../workspaces/callers.ts';
import { acquire, requireSameKind } from './acquire.ts';
import { goldenName, publishGolden, takePending } from './golden.ts';
import type { Prepared, PrepareHost, PrepareInput, StepOptions } from './host.ts';
import { inputDigest } from './inputDigest.ts';
import { setUp } from './setUp.ts';
import { takeBack } from './takeBack.ts';

export interface Prepares {
  /**
   * Prepares a machine, or joins whoever does so with the same inputs. An aborted signal ends the waiting alone.
   * @throws CoppiceError see workspace_prepare in protocol/
   */
  prepare(
    input: PrepareInput,
    options: StepOptions & { readonly caller: Caller },
  ): Promise<Prepared>;
  underWay(): number;
  /** Gives up what is under way; the next daemon takes it back. */
  close(): Promise<void>;
}

interface Flight {
  readonly digest: string;
  readonly listeners: Set<(message: string) => void>;
  readonly done: Promise<Prepared>;
}

/** A preparation that has been written down. */
interface Work {
  readonly row: PreparedRecord;
  readonly record: WorkspaceRecord;
}

export function prepares(host: PrepareHost): Prepares {
  const flights = new Map<string, Flight>();
  const busy = new Set<string>();
  const closing = new AbortController();

  async function work(
    input: PrepareInput,
    caller: Caller,
    digest: string,
    progress: (message: string) => void,
  ): Promise<Prepared> {
    const acquired = acquire(host, input.name, caller, (name) => busy.has(name));
    const existing = acquired.kind === 'existing' ? acquired.record : undefined;
    const before = existing === undefined ? undefined : host.rows.ofWorkspace(existing.id);
    if (existing !== undefined) {
      if (busy.has(existing.id)) throw alreadyPreparing(existing.name);
      const ready = readyGolden(existing, before, digest);
      if (ready !== undefined) return ready;
      requireSameKind(existing, input);
    }
    const key = existing?.id ?? (acquired.kind === 'new' ? acquired.name : '');
    busy.add(key);
    const options: StepOptions = { signal: closing.signal, progress };
    try {
      const begun =
        existing === undefined
          ? await beginNew(input, acquired.kind === 'new' ? acquired.name : '', caller, options)
          : await beginAgain(existing, before, input, caller, options);
      return await finish(begun, input, digest, options);
    } finally {
      busy.delete(key);
    }
  }

  function readyGolden(
    record: WorkspaceRecord,
    row: PreparedRecord | undefined,
    digest: string,
  ): Prepared | undefined {
    if (row?.state !== 'ready' || row.digest !== digest || row.snapshotId === null) {
      return undefined;
    }
    if (host.snapshot(row.snapshotId)?.workspaceId !== record.id) return undefined;
    return describe(record.id, row.snapshotId, { reused: true });
  }

  async function beginNew(
    input: PrepareInput,
    name: string,
    caller: Caller,
    options: StepOptions,
  ): Promise<Work> {
    const rowId = host.rows.insert({
      owner: callerKey(caller),
      name: input.name,
      workspaceName: name,
      workspaceId: null,
      state: 'preparing',
      fresh: true,
      digest: null,
      snapshotId: null,
      pendingSnapshot: pendingName(host.now()),
      problem: null,
      startedAt: host.now().toISOString(),
    });
    try {
      options.progress('Creating the machine');
      const record = await host.create(input, name, caller, options);
      host.rows.update(rowId, { workspaceId: record.id });
      return { record, row: requireRow(record.id) };
    } catch (error) {
      if (!closing.signal.aborted) host.rows.remove(rowId);
      throw error;
    }
  }

  async function beginAgain(
    record: WorkspaceRecord,
    before: PreparedRecord | undefined,
    input: PrepareInput,
    caller: Caller,
    options: StepOptions,
  ): Promise<Work> {
    await host.wake(record.id, options);
    const again = {
      state: 'preparing',
      fresh: false,
      pendingSnapshot: pendingName(host.now()),
      problem: null,
      startedAt: host.now().toISOString(),
    } as const;
    if (before === undefined) {
      host.rows.insert({
        ...again,
        owner: callerKey(caller),
        name: input.name,
        workspaceName: record.name,
        workspaceId: record.id,
        digest: null,
        snapshotId: null,
      });
    } else {
      host.rows.update(before.id, again);
    }
    return { record, row: requireRow(record.id) };
  }

  async function finish(
    { row, record }: Work,
    input: PrepareInput,
    digest: string,
    options: StepOptions,
  ): Promise<Prepared> {
    let savedAs: string | undefined;
    const saveFirst = async (): Promise<void> => {
      savedAs = `before-prepare-${stamp(host.now())}`;
      const description = 'What the machine held before it was prepared again';
      const draft = { name: savedAs, description, memory: false };
      await host.takeSnapshot(record.id, draft, options.progress);
    };
    try {
      await setUp(host, record.id, input, row.fresh ? undefined : saveFirst, options);
      await host.guest.sync(record.id, options.signal);
      options.progress('Taking the golden snapshot');
      const snapshotId = await takePending(host, row, record.id, options);
      const previous = await publishGolden(host, row, record.id, snapshotId, digest);
      return describe(record.id, snapshotId, { savedAs, previous });
    } catch (error) {
      // What a daemon that ends leaves, the next one takes back.
      if (closing.signal.aborted) throw closed();
      await takeBack(host, row, record.id, error instanceof Error ? error.message : String(error));
      throw error;
    }
  }

  function requireRow(workspaceId: string): PreparedRecord {
    const row = host.rows.ofWorkspace(workspaceId);
    if (row === undefined) throw new Error(`no record of the preparation of ${workspaceId}`);
    return row;
  }

  function describe(
    id: string,
    snapshotId: string,
    more: {
      readonly reused?: boolean;
      readonly savedAs?: string | undefined;
      readonly previous?: string | undefined;
    },
  ): Prepared {
    const record = host.workspace(id);
    const snapshot = host.snapshot(snapshotId);
    if (record === undefined || snapshot === undefined) throw destroyedMeanwhile();
    return {
      workspace_id: id,
      name: record.name,
      snapshot_name: snapshot.name,
      snapshot_id: snapshotId,
      ip: host.address(record),
      state: record.state,
      has_memory: snapshot.memoryId !== null,
      reused_existing: more.reused ?? false,
      saved_as: more.savedAs ?? null,
      previous_snapshot: more.previous ?? null,
    };
  }

  return {
    async prepare(input, { caller, signal, progress }) {
      const key = `${callerKey(caller)}\n${input.name}`;
      const digest = inputDigest(input);
      let flight = flights.get(key);
      if (flight !== undefined && flight.digest !== digest) throw alreadyPreparing(input.name);
      if (flight === undefined) {
        const listeners = new Set<(message: string) => void>();
        const tell = (message: string): void => {
          for (const listener of listeners) listener(message);
        };
        flight = { digest, listeners, done: work(input, caller, digest, tell) };
        flights.set(key, flight);
        const forget = (): void => void flights.delete(key);
        flight.done.then(forget, forget);
      }
      flight.listeners.add(progress);
      try {
        return await orAborted(flight.done, signal);
      } finally {
        flight.listeners.delete(progress);
      }
    },
    underWay: () => flights.size,
    async close() {
      closing.abort();
      await Promise.allSettled([...flights.values()].map(({ done }) => done));
    },
  };
}

/** 20261120-143015 */
function stamp(now: Date): string {
  return now.toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-');
}

function pendingName(now: Date): string {
  return `${goldenName}-pending-${stamp(now)}`;
}

function alreadyPreparing(name: string): CoppiceError {
  return new CoppiceError({
    code: 'busy',
    message: `A preparation of ${name} with other inputs is already in progress.`,
    next: 'Wait until it has ended, or choose another name.',
    details: { name },
  });
}

function destroyedMeanwhile(): CoppiceError {
  return new CoppiceError({
    code: 'not_found',
    message: 'The machine or its golden snapshot was removed meanwhile.',
    next: 'Prepare it again.',
  });
}

function closed(): CoppiceError {
  return new CoppiceError({
    code: 'daemon_unavailable',
    message: 'The daemon has ended before the machine was prepared.',
    next: 'Prepare it again.',
  });
}

async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = (): void =>
    aborted.reject(
      new CoppiceError({
        code: 'cancelled',
        message: 'The call was given up; the preparation goes on.',
        next: 'The same call again waits for it. To end it, destroy the machine.',
      }),
    );
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
