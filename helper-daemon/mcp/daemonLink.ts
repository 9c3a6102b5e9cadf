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
  /** Hands every event from now on to `listener`, over reconnects; `undefined` means that some were missed. */
  watch(listener: (event: EventEnvelope['event'] | undefined) => void): void;
  close(): void;
}

export interface LinkOptions {
  readonly agent: string;
  /** Milliseconds to wait for a daemon that somebody else starts. */
  readonly patience?: number;
  readonly log: (message: string) => void;
}

const defaultPatience = 10_000;
const betweenAttempts = 100;

export function openLink({ agent, patience = defaultPatience, log }: LinkOptions): DaemonLink {
  const identity = { name: 'coppice-mcp', version, agent };
  const closing = new AbortController();
  let current: CoppiceClient | undefined;
  let connecting: Promise<CoppiceClient> | undefined;
  let listener: ((event: EventEnvelope['event'] | undefined) => void) | undefined;
  let cursor: string | undefined;

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
    current = client;
    client.onClose(() => {
      if (current === client) current = undefined;
      if (closing.signal.aborted) return;
      log('the connection to the daemon has ended');
      // Whoever watches is told of changes without calling anything.
      if (listener !== undefined) void connected().catch((error: unknown) => log(String(error)));
    });
    if (listener !== undefined) subscribe(client, listener);
    return client;
  }

  function connected(): Promise<CoppiceClient> {
    if (closing.signal.aborted) return Promise.reject(sessionEnded());
    if (current !== undefined) return Promise.resolve(current);
    connecting ??= connect().finally(() => {
      connecting = undefined;
    });
    return connecting;
  }

  function subscribe(client: CoppiceClient, tell: NonNullable<typeof listener>): void {
    const since = cursor;
    client
      .subscribe((envelope) => {
        cursor = envelope.cursor;
        tell(envelope.event);
      }, since)
      .then((subscription) => {
        cursor ??= subscription.cursor;
        if (!subscription.reset) return;
        cursor = subscription.cursor;
        tell(undefined);
      })
      .catch((error: unknown) => log(`no events: ${String(error)}`));
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
    watch(tell) {
      listener = tell;
      if (current === undefined) connected().catch((error: unknown) => log(String(error)));
      else subscribe(current, tell);
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
