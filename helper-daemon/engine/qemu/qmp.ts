/**
 * A client of QEMU's control socket. The monitor may have been taken over by a hostile guest, so whatever
 * it sends is bounded and checked, and every command has a deadline.
 */
import net from 'node:net';
import { CoppiceError } from '../../../protocol/errors.ts';

export interface QmpEvent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface QmpOptions {
  /** Called in order of arrival, also for events that come before connectQmp has resolved. */
  readonly onEvent?: (event: QmpEvent) => void;
  /** Called once, when the connection has ended for whatever reason but `close`. */
  readonly onClose?: (reason: string) => void;
  readonly connectTimeoutMs?: number;
  /** Asked while nobody listens yet: true tries again. */
  readonly keepTrying?: () => boolean;
}

export interface Qmp {
  /**
   * @throws CoppiceError `command_failed` when QEMU refuses, `timeout` when it does not answer in time,
   * `internal` when the connection is gone
   */
  execute(
    command: string,
    args?: Readonly<Record<string, unknown>>,
    timeoutMs?: number,
  ): Promise<unknown>;
  readonly closed: boolean;
  close(): void;
}

/** The longest legitimate answer is a console ring in base64. */
const lineLimit = 1024 * 1024;
const pendingLimit = 64;
const defaultTimeoutMs = 10_000;

interface Pending {
  readonly command: string;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: CoppiceError) => void;
  readonly timer: NodeJS.Timeout;
}

/**
 * Connects and negotiates.
 * @throws CoppiceError `internal` when nobody listens or the other side makes no sense, `timeout`
 */
export async function connectQmp(socketPath: string, options: QmpOptions = {}): Promise<Qmp> {
  const client = new QmpClient(await openSocket(socketPath, options.keepTrying), options);
  try {
    await client.ready(options.connectTimeoutMs ?? defaultTimeoutMs);
    return client;
  } catch (error) {
    client.close();
    throw error;
  }
}

/** The path exists a moment before QEMU listens on it, so both errors mean "not yet". */
async function openSocket(
  socketPath: string,
  keepTrying: () => boolean = () => false,
): Promise<net.Socket> {
  for (;;) {
    const opened = await new Promise<net.Socket | NodeJS.ErrnoException>((resolve) => {
      const socket = net.connect(socketPath);
      socket.once('connect', () => {
        socket.removeAllListeners('error');
        resolve(socket);
      });
      socket.once('error', resolve);
    });
    if (opened instanceof net.Socket) return opened;
    const notYet = opened.code === 'ENOENT' || opened.code === 'ECONNREFUSED';
    if (!notYet || !keepTrying()) throw connectionGone('connect', opened.message);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

class QmpClient implements Qmp {
  readonly #socket: net.Socket;
  readonly #options: QmpOptions;
  readonly #pending = new Map<string, Pending>();
  #nextId = 1;
  #line: Buffer[] = [];
  #lineLength = 0;
  #closed = false;
  #greeting: { resolve: () => void; reject: (error: CoppiceError) => void } | undefined;

  constructor(socket: net.Socket, options: QmpOptions) {
    this.#socket = socket;
    this.#options = options;
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', (error) => this.#end(error.message));
    socket.on('close', () => this.#end('the monitor closed it'));
  }

  get closed(): boolean {
    return this.#closed;
  }

  async ready(timeoutMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve, reject) => {
      this.#greeting = { resolve, reject };
      timer = setTimeout(() => reject(timedOut('greeting', timeoutMs)), timeoutMs);
    }).finally(() => clearTimeout(timer));
    await this.execute('qmp_capabilities', undefined, timeoutMs);
  }

  execute(
    command: string,
    args?: Readonly<Record<string, unknown>>,
    timeoutMs = defaultTimeoutMs,
  ): Promise<unknown> {
    if (this.#closed) return Promise.reject(connectionGone(command, 'it is closed'));
    if (this.#pending.size >= pendingLimit) {
      return Promise.reject(connectionGone(command, 'too many commands are waiting'));
    }
    const id = String(this.#nextId++);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(timedOut(command, timeoutMs));
      }, timeoutMs);
      this.#pending.set(id, { command, resolve, reject, timer });
      const message = { execute: command, ...(args === undefined ? {} : { arguments: args }), id };
      this.#socket.write(`${JSON.stringify(message)}\n`);
    });
  }

  close(): void {
    this.#end(undefined);
  }

  #receive(chunk: Buffer): void {
    let rest = chunk;
    while (!this.#closed) {
      const newline = rest.indexOf(10);
      const part = newline < 0 ? rest : rest.subarray(0, newline);
      this.#lineLength += part.length;
      if (this.#lineLength > lineLimit) {
        this.#end(`it sent a line of more than ${String(lineLimit)} bytes`);
        return;
      }
      if (part.length > 0) this.#line.push(part);
      if (newline < 0) return;
      const line = Buffer.concat(this.#line, this.#lineLength).toString('utf8');
      this.#line = [];
      this.#lineLength = 0;
      rest = rest.subarray(newline + 1);
      this.#handle(line);
    }
  }

  #handle(line: string): void {
    if (line.trim() === '') return;
    const message = parseObject(line);
    if (message === undefined) {
      this.#end(`it sent what is not a QMP message: ${JSON.stringify(line.slice(0, 80))}`);
      return;
    }
    if (typeof message['event'] === 'string') {
      this.#options.onEvent?.({ event: message['event'], data: asObject(message['data']) });
      return;
    }
    if ('QMP' in message) {
      this.#greeting?.resolve();
      return;
    }
    const id = message['id'];
    const pending = typeof id === 'string' ? this.#pending.get(id) : undefined;
    // The answer to a command that was given up, or noise: nobody waits for it.
    if (pending === undefined || typeof id !== 'string') return;
    this.#pending.delete(id);
    clearTimeout(pending.timer);
    if ('return' in message) pending.resolve(message['return']);
    else pending.reject(refused(pending.command, message['error']));
  }

  #end(reason: string | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.destroy();
    this.#line = [];
    const why = reason ?? 'it was closed';
    this.#greeting?.reject(connectionGone('greeting', why));
    for (const { command, reject, timer } of this.#pending.values()) {
      clearTimeout(timer);
      reject(connectionGone(command, why));
    }
    this.#pending.clear();
    if (reason !== undefined) this.#options.onClose?.(reason);
  }
}

function parseObject(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

/** A JSON object as such, anything else as an empty one. */
export function asObject(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function timedOut(command: string, timeoutMs: number): CoppiceError {
  return new CoppiceError({
    code: 'timeout',
    message: `The machine's monitor did not answer ${command} within ${String(timeoutMs)} ms.`,
    next: 'The host may be overloaded; try again, or stop the workspace with force.',
    details: { command },
  });
}

function connectionGone(command: string, why: string): CoppiceError {
  return new CoppiceError({
    code: 'internal',
    message: `The connection to the machine's monitor ended before it answered ${command}: ${why}.`,
    details: { command },
  });
}

function refused(command: string, error: unknown): CoppiceError {
  const { class: kind, desc } = asObject(error);
  return new CoppiceError({
    code: 'command_failed',
    message: `The machine's monitor refused ${command}: ${typeof desc === 'string' ? desc.slice(0, 1000) : 'no reason given'}`,
    details: { command, class: typeof kind === 'string' ? kind : 'unknown' },
  });
}
