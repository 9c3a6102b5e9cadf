/**
 * The extension's one connection to the daemon: made on demand, made again when it breaks. VS Code and the
 * clock are passed in, so that the behaviour can be tested without either.
 */
import type { CoppiceClient } from '../../helper-daemon/client/client.ts';
import { asCoppiceError, CoppiceError } from '../../protocol/errors.ts';
import { reconnectPauses, stoppedAfterAttempts } from './backOff.ts';

export type ConnectionState =
  | { readonly kind: 'idle' | 'connecting' }
  | { readonly kind: 'connected'; readonly client: CoppiceClient }
  | { readonly kind: 'stopped' | 'unavailable' | 'refused'; readonly error: CoppiceError };

export interface ConnectionOptions {
  /** Connects; `start` allows starting a daemon that is not running. */
  readonly connect: (start: boolean) => Promise<CoppiceClient>;
  /** Brings what is shown up to date over a new client, before it counts as connected. */
  readonly synchronise: (client: CoppiceClient) => Promise<void>;
  readonly onState: (state: ConnectionState) => void;
  readonly pause: (ms: number) => Promise<void>;
  /** Calls back when somebody else may have started the daemon; returns how to stop watching. */
  readonly watchForDaemon: (onChange: () => void) => () => void;
  readonly log: (message: string) => void;
}

export interface DaemonConnection {
  readonly state: () => ConnectionState;
  /**
   * The client; connects, and starts the daemon, when that is needed.
   * @throws CoppiceError `daemon_unavailable`, `protocol_mismatch`, `permission_denied`
   */
  client(): Promise<CoppiceClient>;
  /** The client as soon as there is one, without ever starting the daemon for it. */
  whenConnected(): Promise<CoppiceClient>;
  /** Lets go of the present connection and makes a new one, for example to another socket. */
  reconnect(): Promise<void>;
  dispose(): void;
}

export function daemonConnection(options: ConnectionOptions): DaemonConnection {
  let state: ConnectionState = { kind: 'idle' };
  let attempt: Promise<CoppiceClient> | undefined;
  let stopWatching: (() => void) | undefined;
  const waiting = new Set<(client: CoppiceClient) => void>();
  /** Raised whenever older work must no longer have an effect. */
  let generation = 0;

  function enter(next: ConnectionState): void {
    state = next;
    stopWatching?.();
    stopWatching = undefined;
    if (next.kind === 'stopped' || next.kind === 'unavailable') {
      stopWatching = options.watchForDaemon(() => void recover(false).catch(() => undefined));
    }
    options.onState(next);
    if (next.kind !== 'connected') return;
    for (const resolve of waiting) resolve(next.client);
    waiting.clear();
  }

  async function connectOnce(start: boolean, mine: number): Promise<CoppiceClient> {
    const client = await options.connect(start);
    try {
      await options.synchronise(client);
      if (mine !== generation) throw superseded();
    } catch (error) {
      client.close();
      throw error;
    }
    client.onClose(() => {
      if (state.kind !== 'connected' || state.client !== client) return;
      options.log('The connection to the daemon ended.');
      void recover(true).catch(() => undefined);
    });
    options.log(`Connected to coppiced ${client.server.server.version} at ${client.socketPath}.`);
    enter({ kind: 'connected', client });
    return client;
  }

  /** One attempt at a time: whoever asks meanwhile gets its outcome. */
  function single(work: (mine: number) => Promise<CoppiceClient>): Promise<CoppiceClient> {
    if (attempt !== undefined) return attempt;
    const mine = generation;
    const current = work(mine)
      .catch((error: unknown) => {
        const failure = asCoppiceError(error);
        if (mine === generation) {
          options.log(`No connection: ${failure.message}`);
          enter({ kind: failedKind(failure), error: failure });
        }
        throw failure;
      })
      .finally(() => {
        if (attempt === current) attempt = undefined;
      });
    attempt = current;
    return current;
  }

  function recover(announce: boolean): Promise<CoppiceClient> {
    return single(async (mine) => {
      let lastError: unknown;
      if (announce) enter({ kind: 'connecting' });
      for (let count = 1; ; count += 1) {
        try {
          // A socket nobody listens on is what a killed daemon leaves: that one is started again.
          return await connectOnce(announce && count > 1 && wasKilled(lastError), mine);
        } catch (error) {
          lastError = error;
          const pause = reconnectPauses[count - 1];
          const over = pause === undefined || (isGone(error) && count >= stoppedAfterAttempts);
          if (over || !announce || isRefusal(error) || mine !== generation) throw error;
          await options.pause(pause);
        }
      }
    });
  }

  async function client(): Promise<CoppiceClient> {
    if (state.kind === 'connected') return state.client;
    if (attempt !== undefined) {
      // What runs may be a cautious attempt that does not start the daemon; the user's wish does.
      const running = await attempt.catch(() => undefined);
      if (running !== undefined) return running;
    }
    return await single(async (mine) => {
      enter({ kind: 'connecting' });
      return await connectOnce(true, mine);
    });
  }

  function letGo(): void {
    generation += 1;
    attempt = undefined;
    const old = state;
    enter({ kind: 'idle' });
    if (old.kind === 'connected') old.client.close();
  }

  return {
    state: () => state,
    client,
    async whenConnected() {
      if (state.kind === 'connected') return state.client;
      return await new Promise((resolve) => waiting.add(resolve));
    },
    async reconnect() {
      letGo();
      await client();
    },
    dispose: letGo,
  };
}

function superseded(): CoppiceError {
  return new CoppiceError({ code: 'cancelled', message: 'Another connection was asked for.' });
}

function errnoOf(error: unknown): unknown {
  return error instanceof CoppiceError ? error.details?.['errno'] : undefined;
}

function isGone(error: unknown): boolean {
  return errnoOf(error) === 'ENOENT';
}

function wasKilled(error: unknown): boolean {
  return errnoOf(error) === 'ECONNREFUSED';
}

function isRefusal(error: unknown): boolean {
  const code = error instanceof CoppiceError ? error.code : undefined;
  return code === 'protocol_mismatch' || code === 'permission_denied';
}

function failedKind(error: CoppiceError): 'stopped' | 'unavailable' | 'refused' {
  if (isRefusal(error)) return 'refused';
  return isGone(error) ? 'stopped' : 'unavailable';
}
