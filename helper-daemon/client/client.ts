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
import { method, wireVersion, type InitializeResult, type ProgressParams } from '../../protocol/wire.ts';
import { openByteStream, type ByteStream } from './byteStream.ts';

export interface CallOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: ProgressParams) => void;
}

export interface CoppiceClient {
  readonly socketPath: string;
  readonly server: InitializeResult;
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
}

/**
 * Connects to a daemon that is already listening.
 * @throws CoppiceError `daemon_unavailable` or `protocol_mismatch`
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
    const cancellation = new CancellationTokenSource();
    const cancel = (): void => cancellation.cancel();
    signal?.addEventListener('abort', cancel, { once: true });
    if (signal?.aborted === true) cancel();
    try {
      return await Promise.race([
        rpc.sendRequest<T>(name, params, cancellation.token),
        lost,
      ]);
    } catch (error) {
      throw fromRpcError(error);
    } finally {
      signal?.removeEventListener('abort', cancel);
      cancellation.dispose();
    }
  }

  const server = await send<InitializeResult>(method.initialize, {
    protocol: wireVersion.current,
    client: identity,
  });
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
        const params = { input, ...(token === undefined ? {} : { progress_token: token }) };
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
  rpc.end();
  socket.destroy();
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

function fromRpcError(error: unknown): unknown {
  if (error instanceof CoppiceError) return error;
  if (!(error instanceof ResponseError)) return error;
  const data = error.data as Partial<ErrorBody> | undefined;
  if (data !== undefined && isErrorCode(data.code)) {
    return new CoppiceError({ ...data, code: data.code, message: data.message ?? error.message });
  }
  return new CoppiceError({ code: 'internal', message: error.message });
}
