/** One agent's connection to the daemon, for as long as its session lasts: lost ones are made again. */
import { setTimeout as delay } from 'node:timers/promises';
import { CoppiceError } from '../../protocol/errors.ts';
import type { EventEnvelope } from '../../protocol/events.ts';
import {
  operations,
  type InputOf,
  type OperationName,
  type OutputOf,
} from '../../protocol/operations.ts';
import type { CallOptions, CoppiceClient } from '../client/client.ts';
import { connectDaemon, daemonSocket, isUnavailable } from '../client/startDaemon.ts';
import { version } from '../system/version.ts';

export interface DaemonLink {
  /** The connection that stands, or a new one. @throws CoppiceError `daemon_unavailable` and its like */
  client(signal?: AbortSignal): Promise<CoppiceClient>;
  /**
   * Calls an operation. When the connection ends before the answer, it is called again, once, if that does no harm.
   * @throws CoppiceError what the operation says, or `outcome_unknown`
   */
  call<N extends OperationName>(
    name: N,
    input: InputOf<N>,
    options?: CallOptions,
  ): Promise<OutputOf<N>>;
  /**
   * Hands every event from now on to `listener`, over reconnects; `undefined` means that some were missed.
   * Resolves when it does, or when the daemon is away: then it will once it is back.
   */
  watch(listener: (event: EventEnvelope['event'] | undefined) => void): Promise<void>;
  close(): void;
}

export interface LinkOptions {
  readonly agent: string;
  readonly log: (message: string) => void;
}

/** Milliseconds to wait for a daemon that somebody else starts. */
const patience = 10_000;
const betweenAttempts = 100;
const firstPause = 250;
const longestPause = 10_000;

export function openLink({ agent, log }: LinkOptions): DaemonLink {
  const identity = { name: 'coppice-mcp', version, agent };
  const closing = new AbortController();
  let current: CoppiceClient | undefined;
  let connecting: Promise<CoppiceClient> | undefined;
  let listener: ((event: EventEnvelope['event'] | undefined) => void) | undefined;
  let cursor: string | undefined;
  let subscribing: Promise<void> | undefined;

  async function connect(): Promise<CoppiceClient> {
    const deadline = Date.now() + patience;
    for (;;) {
      try {
        return adopt(await connectDaemon(identity));
      } catch (error) {
        // Nobody but its supervisor starts a daemon at a chosen socket; our own was already tried in full.
        const wait = isUnavailable(error) && daemonSocket().chosen && Date.now() < deadline;
        if (!wait || closing.signal.aborted) throw explained(error);
      }
      await delay(betweenAttempts, undefined, { signal: closing.signal }).catch(() => undefined);
    }
  }

  function adopt(client: CoppiceClient): CoppiceClient {
    if (closing.signal.aborted) {
      client.close();
      throw sessionEnded();
    }
    if (current !== undefined) {
      client.close();
      return current;
    }
    current = client;
    client.onClose(() => {
      if (current === client) current = undefined;
      if (closing.signal.aborted) return;
      log('the connection to the daemon has ended');
      if (listener !== undefined) void comeBack();
    });
    if (listener !== undefined) subscribing = subscribe(client, listener, subscribing);
    return client;
  }

  /** Whoever watches hears of changes without calling anything; but a daemon is not started for that. */
  async function comeBack(): Promise<void> {
    const { signal } = closing;
    for (let pause = firstPause; ; pause = Math.min(pause * 2, longestPause)) {
      await delay(pause, undefined, { signal, ref: false }).catch(() => undefined);
      if (signal.aborted || current !== undefined) return;
      if (connecting === undefined) {
        await connectDaemon(identity, { start: false })
          .then(adopt)
          .catch(() => undefined);
      }
    }
  }

  function connected(): Promise<CoppiceClient> {
    if (closing.signal.aborted) return Promise.reject(sessionEnded());
    if (current !== undefined) return Promise.resolve(current);
    connecting ??= connect().finally(() => {
      connecting = undefined;
    });
    return connecting;
  }

  /** @param before an earlier subscription: events since then may have been missed */
  async function subscribe(
    client: CoppiceClient,
    tell: NonNullable<typeof listener>,
    before: Promise<void> | undefined,
  ): Promise<void> {
    try {
      const take = (envelope: EventEnvelope): void => {
        cursor = envelope.cursor;
        tell(envelope.event);
      };
      const since = cursor;
      const subscription = await client.subscribe(take, since);
      const missed = subscription.reset || (since === undefined && before !== undefined);
      if (subscription.reset) cursor = subscription.cursor;
      cursor ??= subscription.cursor;
      if (missed) tell(undefined);
    } catch (error) {
      log(`no events: ${String(error)}`);
    }
  }

  async function call<N extends OperationName>(
    name: N,
    input: InputOf<N>,
    options: CallOptions = {},
  ): Promise<OutputOf<N>> {
    const harmless = options.idempotencyKey !== undefined || operations[name].retry === 'safe';
    for (let attempt = 1; ; attempt += 1) {
      const client = await whileWanted(connected(), options.signal);
      try {
        return await client.call(name, input, options);
      } catch (error) {
        // An outcome the daemon itself does not know arrives on a connection that stands.
        if (current === client || options.signal?.aborted === true) throw error;
        if (!(error instanceof CoppiceError) || error.code !== 'outcome_unknown') throw error;
        if (!harmless || attempt > 1) throw outcomeUnknown(name);
      }
    }
  }

  return {
    client: (signal) => whileWanted(connected(), signal),
    call,
    async watch(tell) {
      listener = tell;
      try {
        const client = await connected();
        // A connection that was made for this has subscribed already.
        await (subscribing ??= subscribe(client, tell, undefined));
      } catch (error) {
        log(`no events: ${String(error)}`);
        subscribing = Promise.resolve();
      }
    },
    close() {
      closing.abort();
      current?.close();
    },
  };
}

async function whileWanted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await work;
  const given = Promise.withResolvers<never>();
  const giveUp = (): void => given.reject(cancelled());
  signal.addEventListener('abort', giveUp, { once: true });
  if (signal.aborted) giveUp();
  try {
    return await Promise.race([work, given.promise]);
  } finally {
    signal.removeEventListener('abort', giveUp);
  }
}

function cancelled(): CoppiceError {
  return new CoppiceError({ code: 'cancelled', message: 'The call was cancelled.' });
}

function sessionEnded(): CoppiceError {
  return new CoppiceError({ code: 'cancelled', message: 'This MCP session has ended.' });
}

/** Not reached means not done: the caller may simply try again. */
function explained(error: unknown): unknown {
  if (!isUnavailable(error)) return error;
  const { message, next, details } = error as CoppiceError;
  return new CoppiceError(
    {
      code: 'daemon_unavailable',
      message: `Nothing was done: ${message}`,
      next: `Try again in a few seconds.${next === undefined ? '' : ` If it stays so: ${next}`}`,
      details: { ...details, retryable: true },
    },
    { cause: error },
  );
}

function outcomeUnknown(name: OperationName): CoppiceError {
  return new CoppiceError({
    code: 'outcome_unknown',
    message: `The connection to the Coppice daemon ended before ${name} was answered: it may have been done, or not.`,
    next: 'Machines keep running. Look at their state (workspace_list, workspace_info) before you repeat this; a call with an idempotency_key can be repeated without looking.',
    details: { operation: name },
  });
}
