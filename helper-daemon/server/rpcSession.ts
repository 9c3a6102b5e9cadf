/** One client's JSON-RPC connection: handshake, operations, cancellation, progress, events. */
import { randomUUID } from 'node:crypto';
import type net from 'node:net';
import {
  createMessageConnection,
  StreamMessageReader,
  ResponseError,
  StreamMessageWriter,
  type CancellationToken,
  type MessageConnection,
} from 'vscode-jsonrpc/node';
import type * as z from 'zod';
import { asCoppiceError, CoppiceError } from '../../protocol/errors.ts';
import type { EventEnvelope, SubscribeResult } from '../../protocol/events.ts';
import type { Operation } from '../../protocol/operation.ts';
import { isOperationName, operations, type OperationName } from '../../protocol/operations.ts';
import {
  initializeParams,
  method,
  operationParams,
  rpcErrorCode,
  subscribeParams,
  wireVersion,
  type InitializeResult,
  type ProgressParams,
} from '../../protocol/wire.ts';
import type { Log } from '../system/log.ts';
import type { Dispatch } from './dispatch.ts';
import type { EventLog } from './eventLog.ts';
import { FrameGuard } from './frameGuard.ts';
import type { CallContext, SessionHandle } from './handlerTypes.ts';
import type { Tickets } from './tickets.ts';
import { describeInvalidInput } from './validation.ts';

export interface SessionServices {
  readonly dispatch: Dispatch;
  readonly events: EventLog;
  readonly tickets: Tickets;
  readonly log: Log;
  readonly mode: 'user' | 'system';
  readonly version: string;
  /** Who can connect here: a user of the system daemon, or undefined for the daemon's own account. */
  readonly peerUid?: number | undefined;
}

/** Calls one client may have under way at a time. */
const concurrentCalls = 512;
/** Bytes of unread replies and events after which a client counts as gone. */
const unreadLimit = 32 * 1024 * 1024;

/** Serves `socket` until it closes. `firstBytes` is what was read to tell the protocols apart. */
export function serveRpc(socket: net.Socket, firstBytes: Buffer, services: SessionServices): void {
  const guard = new FrameGuard();
  const rpc = createMessageConnection(
    new StreamMessageReader(guard),
    new StreamMessageWriter(socket),
  );
  const closeListeners: (() => void)[] = [];
  const gone = new AbortController();
  let clientName = 'unknown';
  let agent: string | null = null;
  let initialized = false;
  let underWay = 0;
  let unsubscribe: (() => void) | undefined;

  const session: SessionHandle = {
    id: randomUUID(),
    peerUid: services.peerUid,
    get clientName() {
      return clientName;
    },
    openStream: (handler, expired) => services.tickets.issue(handler, expired),
    onClose(listener) {
      if (gone.signal.aborted) listener();
      else closeListeners.push(listener);
    },
  };

  function drop(reason: string): void {
    if (socket.destroyed) return;
    services.log.warn({ client: clientName, reason }, 'connection dropped');
    socket.destroy();
  }

  guard.on('error', (error) => drop(error.message));
  rpc.onError(([error]) => drop(error.message));
  socket.on('error', () => undefined);
  socket.once('close', () => {
    gone.abort();
    unsubscribe?.();
    rpc.dispose();
    guard.destroy();
    for (const listener of closeListeners) listener();
  });

  rpc.onRequest(method.initialize, (params: unknown): InitializeResult => {
    const hello = parse(initializeParams, params, method.initialize);
    const { protocol, client } = hello;
    if (protocol < wireVersion.oldest) {
      throw toResponseError(
        new CoppiceError({
          code: 'protocol_mismatch',
          message: `This client speaks protocol ${String(protocol)}; the daemon needs at least ${String(wireVersion.oldest)}.`,
          next: 'Update the client.',
        }),
      );
    }
    clientName = client.name;
    agent = hello.agent ?? null;
    initialized = true;
    return {
      protocol: Math.min(protocol, wireVersion.current),
      server: { name: 'coppiced', version: services.version, pid: process.pid },
      mode: services.mode,
      capabilities: Object.keys(operations),
    };
  });

  rpc.onRequest(method.subscribe, (params: unknown): SubscribeResult => {
    requireInitialized();
    const { cursor } = parse(subscribeParams, params, method.subscribe);
    unsubscribe?.();
    const subscription = services.events.subscribe(deliver, cursor);
    unsubscribe = subscription.unsubscribe;
    return { cursor: subscription.cursor, reset: subscription.reset };
  });

  rpc.onRequest(async (name: string, params: unknown, token: CancellationToken) => {
    requireInitialized();
    if (!isOperationName(name)) {
      throw toResponseError(
        new CoppiceError({
          code: 'invalid_input',
          message: `There is no operation named ${JSON.stringify(name.slice(0, 64))}.`,
          next: 'The daemon may be older than this client: restart it with coppice daemon stop.',
        }),
      );
    }
    if (underWay >= concurrentCalls) {
      throw toResponseError(
        new CoppiceError({
          code: 'busy',
          message: `This connection already has ${String(concurrentCalls)} calls under way.`,
          next: 'Wait for some of them to end.',
        }),
      );
    }
    underWay += 1;
    try {
      return await callOperation(name, params, token);
    } catch (error) {
      throw toResponseError(error);
    } finally {
      underWay -= 1;
    }
  });

  async function callOperation(
    name: OperationName,
    params: unknown,
    token: CancellationToken,
  ): Promise<unknown> {
    const { input: raw, progress_token, idempotency_key } = parse(operationParams, params, name);
    const operation: Operation = operations[name];
    const input = parse(operation.input, raw, name);
    const cancelled = new AbortController();
    token.onCancellationRequested(() => cancelled.abort());
    const context: CallContext = {
      // Whoever gave a key may come back for the result.
      signal:
        idempotency_key === undefined
          ? AbortSignal.any([gone.signal, cancelled.signal])
          : cancelled.signal,
      caller: { uid: services.peerUid ?? process.getuid?.() ?? 0, agent },
      session,
      progress(message, fraction) {
        if (progress_token === undefined) return;
        const progress: ProgressParams = {
          token: progress_token,
          message,
          ...(fraction === undefined ? {} : { fraction }),
        };
        notify(method.progress, progress);
      },
    };
    const started = performance.now();
    try {
      const result = await services.dispatch(name, input, context, idempotency_key);
      services.log.debug({ client: clientName, name, ms: performance.now() - started }, 'call');
      return result;
    } catch (error) {
      const failure = asCoppiceError(error);
      const facts = { client: clientName, name, code: failure.code, message: failure.message };
      if (failure.code === 'internal') services.log.error({ ...facts, err: error }, 'call failed');
      else services.log.info(facts, 'call failed');
      throw failure;
    }
  }

  function deliver(envelope: EventEnvelope): void {
    notify(method.event, envelope);
  }

  function notify(name: string, params: unknown): void {
    if (socket.destroyed) return;
    if (socket.writableLength > unreadLimit) {
      drop('the client does not read');
      return;
    }
    rpc.sendNotification(name, params).catch(() => undefined);
  }

  function requireInitialized(): void {
    if (initialized) return;
    throw new ResponseError(rpcErrorCode.notInitialized, 'Send initialize first.');
  }

  listen(rpc, socket, guard, firstBytes);
}

function listen(
  rpc: MessageConnection,
  socket: net.Socket,
  guard: FrameGuard,
  firstBytes: Buffer,
): void {
  rpc.listen();
  guard.write(firstBytes);
  socket.pipe(guard);
}

function parse<T>(schema: z.ZodType<T>, value: unknown, operation: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw toResponseError(describeInvalidInput(operation, result.error));
}

function toResponseError(error: unknown): ResponseError<unknown> {
  if (error instanceof ResponseError) return error;
  const failure = asCoppiceError(error);
  return new ResponseError(rpcErrorCode.operationFailed, failure.message, failure.toBody());
}
