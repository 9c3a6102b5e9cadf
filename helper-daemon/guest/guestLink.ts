/**
 * The daemon's line to the agent of one machine: it owns the current connection, makes a new one when
 * that breaks while the machine lives, and says quickly and plainly when there is none.
 */
import type { CoppiceError } from '../../protocol/errors.ts';
import { openChannel } from './channel.ts';
import { openConnection, type GuestClients, type GuestConnection } from './connection.ts';
import { guestUnreachable } from './errors.ts';
import type { HelloAnswer } from './hello.ts';
import type { TransportAddress } from './transport.ts';

export type { GuestClients } from './connection.ts';

/** What a link needs of its machine; the engine's Machine is one. */
export interface LinkedMachine {
  readonly transport: TransportAddress;
  readonly ended: Promise<{ readonly detail: string }>;
  console(): Promise<string>;
  watch(listener: (event: { readonly type: string; readonly open?: boolean }) => void): () => void;
}

export interface GuestLinkOptions {
  readonly machine: LinkedMachine;
  /** 64 hex digits. */
  readonly channelKey: string;
  /** Generation of the machine that hellos carry. */
  readonly generation: number;
  /** How long a call waits for a connection that has to be made first. */
  readonly reconnectMs?: number;
  /** How long an agent that has answered the hello may take to speak HTTP/2. */
  readonly settleMs?: number;
}

export interface GuestLink {
  /** Tries until the agent answers or the signal fires. Once it answers, later calls use that connection. */
  connect(signal: AbortSignal): Promise<HelloAnswer>;
  /**
   * The services over the connection there is; made anew when it broke.
   * @throws CoppiceError `guest_unreachable`, at once when an attempt has just failed
   */
  clients(): Promise<GuestClients>;
  /** After a restore or fork: hellos carry this from now on. */
  setGeneration(generation: number): void;
  /** Drops the connection; the next call makes a new one. */
  reset(reason: string): void;
  close(): void;
}

const firstBackOffMs = 100;
const longestBackOffMs = 5_000;

export function openGuestLink(options: GuestLinkOptions): GuestLink {
  return new Link(options);
}

class Link implements GuestLink {
  readonly #options: GuestLinkOptions;
  readonly #key: Buffer;
  readonly #unwatch: () => void;
  readonly #stopped = new AbortController();
  #generation: bigint;
  #current: GuestConnection | undefined;
  #connecting: Promise<GuestConnection> | undefined;
  #closedReason: string | undefined;
  #failure: { readonly error: CoppiceError; readonly retryAt: number } | undefined;
  #backOff = firstBackOffMs;

  constructor(options: GuestLinkOptions) {
    this.#options = options;
    this.#key = Buffer.from(options.channelKey, 'hex');
    if (this.#key.length !== 32) throw new Error('a channel key has 32 bytes');
    this.#generation = BigInt(options.generation);
    this.#unwatch = options.machine.watch((event) => {
      if (event.type !== 'channel') return;
      // Opened again: either this is the connection we have, or another agent that does not know it.
      if (event.open === true) this.#current?.check(2_000);
      else this.#current?.close('the agent went away');
    });
    void options.machine.ended.then((end) => this.#shut(`the machine has ended (${end.detail})`));
  }

  async connect(signal: AbortSignal): Promise<HelloAnswer> {
    for (;;) {
      try {
        return (await this.#connection(signal)).answer;
      } catch (error) {
        if (this.#closedReason !== undefined || signal.aborted) throw await this.#explained(error);
      }
      // Who waits for a boot wants to know soon; over vsock an agent that is not up yet refuses.
      await pause(
        Math.min(this.#backOff, firstBackOffMs),
        AbortSignal.any([signal, this.#stopped.signal]),
      );
    }
  }

  async clients(): Promise<GuestClients> {
    if (this.#current?.usable === true) return this.#current.clients;
    if (this.#closedReason !== undefined) throw guestUnreachable(this.#closedReason);
    if (this.#connecting === undefined && this.#failure !== undefined) {
      if (performance.now() < this.#failure.retryAt) throw this.#failure.error;
    }
    const limit = AbortSignal.timeout(this.#options.reconnectMs ?? 10_000);
    try {
      return (await this.#connection(limit)).clients;
    } catch (error) {
      const explained = await this.#explained(error);
      this.#failure = { error: explained, retryAt: performance.now() + this.#backOff };
      throw explained;
    }
  }

  setGeneration(generation: number): void {
    this.#generation = BigInt(generation);
  }

  reset(reason: string): void {
    this.#current?.close(reason);
  }

  close(): void {
    this.#shut('the daemon has let go of it');
  }

  #shut(reason: string): void {
    if (this.#closedReason !== undefined) return;
    this.#closedReason = reason;
    this.#unwatch();
    this.#stopped.abort();
    this.#current?.close(reason);
  }

  /** One attempt at a time, shared by everybody who waits; each waits only as long as it wants to. */
  #connection(signal: AbortSignal): Promise<GuestConnection> {
    if (this.#current?.usable === true) return Promise.resolve(this.#current);
    if (this.#closedReason !== undefined) return Promise.reject(new Error(this.#closedReason));
    if (this.#connecting === undefined) {
      // The channel is tried as long as anybody wants it; who joins later does not prolong it.
      const attempt = this.#attempt(AbortSignal.any([signal, this.#stopped.signal]));
      this.#connecting = attempt.finally(() => {
        this.#connecting = undefined;
      });
      this.#connecting.catch(() => undefined);
    }
    return orAborted(this.#connecting, signal);
  }

  async #attempt(signal: AbortSignal): Promise<GuestConnection> {
    try {
      const channel = await openChannel(this.#options.machine.transport, {
        key: this.#key,
        generation: this.#generation,
        signal,
      });
      const connection = await openConnection(channel, this.#options.settleMs);
      if (this.#closedReason !== undefined) {
        connection.close(this.#closedReason);
        throw new Error(this.#closedReason);
      }
      this.#current = connection;
      this.#failure = undefined;
      this.#backOff = firstBackOffMs;
      void connection.closed.then(() => {
        if (this.#current === connection) this.#current = undefined;
      });
      return connection;
    } catch (error) {
      this.#backOff = Math.min(this.#backOff * 2, longestBackOffMs);
      throw error;
    }
  }

  async #explained(error: unknown): Promise<CoppiceError> {
    const reason = this.#closedReason ?? (error instanceof Error ? error.message : String(error));
    const tail = await this.#options.machine.console().catch(() => '');
    return guestUnreachable(reason, tail);
  }
}

function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(new Error('it does not answer'));
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
  });
}
