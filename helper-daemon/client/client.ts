/** A connection to coppiced: typed operations, events, byte streams. Used by the CLI and by VS Code. */
import net from 'node:net';
import {
  CancellationTokenSource,
  createMessageConnection,
  ResponseError,
  SocketMessageReader,
  SocketMessageWriter,
  type MessageConnection,
} from 'vscode-jsonrpc/node';
import { CoppiceError, isErrorCode, type ErrorBody } from '../../protocol/errors.ts';
import type { EventEnvelope, SubscribeResult } from '../../protocol/events.ts';
import type { InputOf, OperationName, OutputOf } from '../../protocol/operations.ts';
import { method, wireVersion } from '../../protocol/rpcMethods.ts';
import type { InitializeResult, ProgressParams } from '../../protocol/wire.ts';
import { openByteStream, type ByteStream } from './byteStream.ts';

export interface CallOptions {
  /** Asks the daemon to give the call up; the promise settles when it has. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: ProgressParams) => void;
  /** A retry with the same key and input gets the first call's outcome. */
  readonly idempotencyKey?: string;
}

export interface CoppiceClient {
  readonly socketPath: string;
  readonly server: InitializeResult;
  /** @throws CoppiceError what the operation says, or `outcome_unknown` when the connection ends first */
  call<N extends OperationName>(
    name: N,
    input: InputOf<N>,
    options?: CallOptions,
  ): Promise<OutputOf<N>>;
  /**
   * Events from now on, or from `cursor` on. `reset` in the result means that events were missed and
   * everything must be listed again.
   */
  subscribe(onEvent: (event: EventEnvelope) => void, cursor?: string): Promise<SubscribeResult>;
  openStream(ticket: string): Promise<ByteStream>;
  /** Called once when the connection has ended, from either side. */
  onClose(listener: () => void): void;
  close(): void;
}

export interface ClientIdentity {
  readonly name: string;
  readonly version: string;
  /** Stable name of the coding agent it acts for; absent: of the person. */
  readonly agent?: string;
}

/** A daemon that accepts a connection but says nothing for this long is stuck. */
const handshakeMs = 15_000;

/**
 * Connects to a daemon that is already listening.
 * @throws CoppiceError `daemon_unavailable`, `permission_denied` or `protocol_mismatch`
 */
export async function connectClient(
  socketPath: string,
  identity: ClientIdentity,
): Promise<CoppiceClient> {
  const socket = await connectSocket(socketPath);
  const rpc = createMessageConnection(
    new SocketMessageReader(socket),
    new SocketMessageWriter(socket),
  );
  const progressListeners = new Map<string, (progress: ProgressParams) => void>();
  let eventListener: ((event: EventEnvelope) => void) | undefined;
  rpc.onNotification(method.progress, (progress: ProgressParams) => {
    progressListeners.get(String(progress.token))?.(progress);
  });
  rpc.onNotification(method.event, (event: EventEnvelope) => eventListener?.(event));
  // The library would read on after a frame it could not understand; nothing after it can be trusted.
  rpc.onError(() => socket.destroy());
  const closed = new Promise<void>((resolve) => {
    socket.once('close', () => {
      resolve();
      rpc.dispose();
    });
  });
  rpc.listen();

  const lost = closed.then(() => {
    throw connectionLost();
  });
  lost.catch(() => undefined);

  async function send<T>(name: string, params: unknown, signal?: AbortSignal): Promise<T> {
    if (socket.destroyed) throw connectionLost();
    const cancellation = new CancellationTokenSource();
    const cancel = (): void => cancellation.cancel();
    signal?.addEventListener('abort', cancel, { once: true });
    if (signal?.aborted === true) cancel();
    try {
      return await Promise.race([rpc.sendRequest<T>(name, params, cancellation.token), lost]);
    } catch (error) {
      throw socket.destroyed ? fromRpcError(error, connectionLost()) : fromRpcError(error);
    } finally {
      signal?.removeEventListener('abort', cancel);
      cancellation.dispose();
    }
  }

  const server = await handshake(socketPath, socket, () =>
    send<InitializeResult>(method.initialize, {
      protocol: wireVersion.current,
      client: { name: identity.name, version: identity.version },
      ...(identity.agent === undefined ? {} : { agent: identity.agent }),
    }),
  );
  let nextToken = 0;

  return {
    socketPath,
    server,
    async call(name, input, options = {}) {
      const token = options.onProgress === undefined ? undefined : `p${String(++nextToken)}`;
      if (token !== undefined && options.onProgress !== undefined) {
        progressListeners.set(token, options.onProgress);
      }
      try {
        const params = {
          input,
          ...(token === undefined ? {} : { progress_token: token }),
          ...(options.idempotencyKey === undefined
            ? {}
            : { idempotency_key: options.idempotencyKey }),
        };
        return await send(name, params, options.signal);
      } finally {
        if (token !== undefined) progressListeners.delete(token);
      }
    },
    subscribe(onEvent, cursor) {
      eventListener = onEvent;
      return send(method.subscribe, cursor === undefined ? {} : { cursor });
    },
    openStream: (ticket) => openByteStream(socketPath, ticket),
    onClose(listener) {
      void closed.then(listener);
    },
    close() {
      closeConnection(rpc, socket);
    },
  };
}

function closeConnection(rpc: MessageConnection, socket: net.Socket): void {
  if (!socket.destroyed) rpc.end();
  socket.destroy();
}

async function handshake(
  socketPath: string,
  socket: net.Socket,
  initialize: () => Promise<InitializeResult>,
): Promise<InitializeResult> {
  let stuck = false;
  const timer = setTimeout(() => {
    stuck = true;
    socket.destroy();
  }, handshakeMs);
  try {
    return await initialize();
  } catch (error) {
    socket.destroy();
    const refused = error instanceof CoppiceError && error.code !== 'outcome_unknown';
    if (refused) throw error;
    throw new CoppiceError(
      {
        code: 'daemon_unavailable',
        message: stuck
          ? `Something listens at ${socketPath} but does not answer.`
          : `What listens at ${socketPath} is no Coppice daemon, or it is just stopping.`,
        next: stuck
          ? 'Look at the daemon log (coppice daemon logs); ending the process that holds the socket helps.'
          : 'Try again; coppice doctor tells more.',
        details: { stuck },
      },
      { cause: error },
    );
  } finally {
    clearTimeout(timer);
  }
}

async function connectSocket(socketPath: string): Promise<net.Socket> {
  const socket = net.connect(socketPath);
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', (error: NodeJS.ErrnoException) => {
      reject(
        new CoppiceError(
          {
            code: error.code === 'EACCES' ? 'permission_denied' : 'daemon_unavailable',
            message: `No connection to the Coppice daemon at ${socketPath}: ${error.message}`,
            next: 'Start it with coppice daemon start, or look with coppice doctor.',
            details: { errno: error.code ?? null },
          },
          { cause: error },
        ),
      );
    });
  });
  socket.on('error', () => undefined);
  return socket;
}

function connectionLost(): CoppiceError {
  return new CoppiceError({
    code: 'outcome_unknown',
    message: 'The connection to the Coppice daemon ended before it answered.',
    next: 'The daemon may have been restarted. Machines keep running: look with coppice list, then try again.',
  });
}

/** LSP's RequestCancelled: the daemon gave a cancelled call up. */
const requestCancelled = -32800;

/** @param whenBroken what to say when the connection, not the daemon, made the call fail */
function fromRpcError(error: unknown, whenBroken?: CoppiceError): unknown {
  if (error instanceof CoppiceError) return error;
  if (error instanceof ResponseError) {
    const data = error.data as Partial<ErrorBody> | null | undefined;
    if (typeof data === 'object' && data !== null && isErrorCode(data.code)) {
      return new CoppiceError({ ...data, code: data.code, message: data.message ?? error.message });
    }
    if (error.code === requestCancelled) {
      return new CoppiceError({ code: 'cancelled', message: 'The call was cancelled.' });
    }
  }
  if (whenBroken !== undefined) return whenBroken;
  const message = error instanceof Error ? error.message : String(error);
  return new CoppiceError({ code: 'internal', message }, { cause: error });
}
