/**
 * gRPC calls over one HTTP/2 session. A call here knows what a generic client hides: whether the request
 * can have reached the guest when something breaks; and it bounds what a guest may make the daemon keep.
 */
import type http2 from 'node:http2';
import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type DescMethod,
  type DescService,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import type { CoppiceError } from '../../protocol/errors.ts';
import {
  callError,
  grpcCode,
  toCoppiceError,
  type CallFailure,
  type MethodName,
} from './errors.ts';
import { MessageReader } from './messageReader.ts';

export interface CallOptions {
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

type Unary<I extends DescMessage, O extends DescMessage> = (
  request: MessageInitShape<I>,
  options?: CallOptions,
) => Promise<MessageShape<O>>;
type ServerStream<I extends DescMessage, O extends DescMessage> = (
  request: MessageInitShape<I>,
  options?: CallOptions,
) => AsyncIterable<MessageShape<O>>;
type ClientStream<I extends DescMessage, O extends DescMessage> = (
  requests: AsyncIterable<MessageInitShape<I>>,
  options?: CallOptions,
) => Promise<MessageShape<O>>;
type BidiStream<I extends DescMessage, O extends DescMessage> = (
  requests: AsyncIterable<MessageInitShape<I>>,
  options?: CallOptions,
) => AsyncIterable<MessageShape<O>>;

/** A function per method of a service, typed from the generated schema. */
export type ServiceClient<S extends DescService> = {
  readonly [M in keyof S['method']]: S['method'][M] extends {
    methodKind: infer K;
    input: infer I extends DescMessage;
    output: infer O extends DescMessage;
  }
    ? K extends 'unary'
      ? Unary<I, O>
      : K extends 'server_streaming'
        ? ServerStream<I, O>
        : K extends 'client_streaming'
          ? ClientStream<I, O>
          : BidiStream<I, O>
    : never;
};

/** What a call needs of its connection. */
export interface CallHost {
  readonly session: http2.ClientHttp2Session;
  /** Why the session is unusable; undefined while it is fine. */
  broken(): string | undefined;
  /** Called when a call starts and when it is over. */
  onCall(open: boolean): void;
  /** Called for every piece of data, however small. */
  onData(): void;
  /** Called for headers that carry no information for the call. */
  onNoise(): void;
}

export function serviceClient<S extends DescService>(service: S, host: CallHost): ServiceClient<S> {
  const client: Record<string, unknown> = {};
  for (const method of service.methods) client[method.localName] = callFunction(method, host);
  return client as ServiceClient<S>;
}

function callFunction(method: DescMethod, host: CallHost): unknown {
  switch (method.methodKind) {
    case 'unary':
      return (request: MessageInitShape<DescMessage>, options?: CallOptions) =>
        new Call(method, host, options).single([request]);
    case 'server_streaming':
      return (request: MessageInitShape<DescMessage>, options?: CallOptions) =>
        lazily(() => new Call(method, host, options).stream([request]));
    case 'client_streaming':
      return (requests: AsyncIterable<MessageInitShape<DescMessage>>, options?: CallOptions) =>
        new Call(method, host, options).single(requests);
    case 'bidi_streaming':
      return (requests: AsyncIterable<MessageInitShape<DescMessage>>, options?: CallOptions) =>
        lazily(() => new Call(method, host, options).stream(requests));
  }
}

/** The call begins when somebody starts to read, so that an iterable nobody reads holds nothing open. */
function lazily<T>(start: () => AsyncIterableIterator<T>): AsyncIterable<T> {
  return { [Symbol.asyncIterator]: start };
}

/** What a timer can hold; a longer one would fire at once. */
const longestTimer = 2 ** 31 - 1;

type Headers = http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader;
type Requests =
  readonly MessageInitShape<DescMessage>[] | AsyncIterable<MessageInitShape<DescMessage>>;

/** Bytes of messages that wait for a slow reader before the guest is held back. */
const readAhead = 1024 * 1024;
/** Bytes given to HTTP/2 but not yet taken by the guest before the writer is held back. */
const writeAhead = 1024 * 1024;
/** Up to this size copying a message behind its header is cheaper than writing the two. */
const copiedMessage = 16 * 1024;

class Call {
  readonly #method: DescMethod;
  readonly #name: MethodName;
  readonly #host: CallHost;
  readonly #options: CallOptions;
  readonly #reader = new MessageReader();
  #stream: http2.ClientHttp2Stream | undefined;
  #timer: NodeJS.Timeout | undefined;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  /** Undefined while the call goes on; then how it ended. */
  #outcome: { readonly error: CoppiceError | undefined } | undefined;
  #status: CallFailure | 'ok' | undefined;
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;
  #unwritten = 0;

  constructor(method: DescMethod, host: CallHost, options: CallOptions = {}) {
    this.#method = method;
    this.#name = { service: method.parent.name, method: method.name };
    this.#host = host;
    this.#options = options;
  }

  async single(requests: Requests): Promise<MessageShape<DescMessage>> {
    this.#open(requests);
    let answer: Buffer | undefined;
    for (let message = await this.#next(); message !== undefined; message = await this.#next()) {
      if (answer !== undefined) throw this.#abandon('it answered more than once');
      answer = message;
    }
    if (answer === undefined) throw this.#abandon('it ended the call well but gave no answer');
    return this.#decode(answer);
  }

  async *stream(requests: Requests): AsyncGenerator<MessageShape<DescMessage>, void, undefined> {
    this.#open(requests);
    try {
      for (let message = await this.#next(); message !== undefined; message = await this.#next()) {
        yield this.#decode(message);
      }
    } finally {
      // A reader that stops early has lost interest: the guest is told.
      this.#finish({ kind: 'cancelled' });
    }
  }

  #open(requests: Requests): void {
    const { signal, timeoutMs } = this.#options;
    if (signal?.aborted === true) throw callError({ kind: 'cancelled' }, this.#name);
    const problem = this.#host.broken();
    if (problem !== undefined) {
      throw callError({ kind: 'broken', sent: false, reason: problem }, this.#name);
    }
    let stream: http2.ClientHttp2Stream;
    try {
      stream = this.#host.session.request(
        {
          ':method': 'POST',
          ':path': `/${this.#method.parent.typeName}/${this.#method.name}`,
          'content-type': 'application/grpc',
          te: 'trailers',
          ...(timeoutMs === undefined ? {} : { 'grpc-timeout': timeoutHeader(timeoutMs) }),
        },
        { endStream: false },
      );
    } catch (error) {
      const reason = (error as Error).message;
      throw callError({ kind: 'broken', sent: false, reason }, this.#name);
    }
    this.#stream = stream;
    this.#host.onCall(true);
    stream.on('response', (headers: Headers) => this.#onHeaders(headers, true));
    stream.on('headers', () => this.#host.onNoise());
    stream.on('trailers', (headers: Headers) => this.#onHeaders(headers, false));
    stream.on('data', (chunk: Buffer) => this.#onData(chunk));
    stream.on('end', () => this.#onEnd());
    stream.on('error', (error: Error) => this.#onBroken(error.message));
    stream.on('close', () => this.#onBroken('the stream was closed'));
    signal?.addEventListener('abort', this.#onAbort);
    if (timeoutMs !== undefined) {
      const late = (): void => this.#finish({ kind: 'timeout', timeoutMs });
      this.#timer = setTimeout(late, Math.min(timeoutMs, longestTimer));
    }
    void this.#send(stream, requests);
  }

  readonly #onAbort = (): void => this.#finish({ kind: 'cancelled' });

  #onHeaders(headers: Headers, first: boolean): void {
    if (first) {
      const type = headers['content-type'] ?? '';
      if (headers[':status'] !== 200 || !type.startsWith('application/grpc')) {
        this.#fail(`it answered with HTTP status ${String(headers[':status'])} instead of gRPC`);
        return;
      }
    }
    const status = headers['grpc-status'];
    if (status === undefined) return;
    this.#status =
      status === '0'
        ? 'ok'
        : {
            kind: 'status',
            code: Number.parseInt(String(status), 10) || grpcCode.unknown,
            message: decodeMessage(headers['grpc-message']),
            word: single(headers['coppice-error']),
          };
  }

  #onData(chunk: Buffer): void {
    this.#host.onData();
    if (this.#outcome !== undefined) return;
    try {
      this.#reader.push(chunk, (message) => {
        this.#waiting.push(message);
        this.#waitingBytes += message.length + 64;
      });
    } catch (error) {
      this.#fail((error as Error).message);
      return;
    }
    if (this.#waitingBytes > readAhead) this.#stream?.pause();
    this.#wakeReader?.();
  }

  #onEnd(): void {
    if (this.#status === 'ok' && this.#reader.atBoundary) this.#finish(undefined);
    else if (this.#status === 'ok') this.#fail('it stopped in the middle of a message');
    else this.#finish(this.#status ?? this.#brokenBy('it ended the stream without a status'));
  }

  #onBroken(reason: string): void {
    if (this.#outcome !== undefined) return;
    // A guest that does not want the rest of an upload resets the stream after its answer.
    const complete = this.#reader.atBoundary && this.#stream?.readableLength === 0;
    if (this.#status === 'ok' && complete) this.#finish(undefined);
    else if (this.#status !== undefined && this.#status !== 'ok') this.#finish(this.#status);
    else this.#finish(this.#brokenBy(this.#host.broken() ?? reason));
  }

  #isOver(): boolean {
    return this.#outcome !== undefined;
  }

  /** A refused stream was certainly not acted on. */
  #brokenBy(reason: string): CallFailure {
    const refused = 7;
    return { kind: 'broken', sent: this.#stream?.rstCode !== refused, reason };
  }

  #fail(reason: string): void {
    this.#finish({ kind: 'broken', sent: true, reason });
  }

  #abandon(reason: string): CoppiceError {
    this.#fail(reason);
    return this.#outcome?.error ?? callError({ kind: 'broken', sent: true, reason }, this.#name);
  }

  /** The one way out of a call; later reasons are ignored. */
  #finish(failure: CallFailure | undefined, own?: CoppiceError): void {
    if (this.#outcome !== undefined) return;
    this.#outcome = { error: own ?? (failure && callError(failure, this.#name)) };
    clearTimeout(this.#timer);
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    const cancel = 8;
    if (this.#stream !== undefined && !this.#stream.closed) {
      // After a good end the guest has nothing more to say; whatever we still send is of no use to it.
      if (this.#outcome.error !== undefined || !this.#stream.writableEnded) {
        this.#stream.close(cancel);
      }
    }
    this.#host.onCall(false);
    this.#wakeReader?.();
    this.#wakeWriter?.();
  }

  /** The next message; undefined after a good end. What arrived before a bad end is still delivered. */
  async #next(): Promise<Buffer | undefined> {
    for (;;) {
      const message = this.#waiting.shift();
      if (message !== undefined) {
        this.#waitingBytes -= message.length + 64;
        if (this.#waitingBytes <= readAhead / 2 && this.#stream?.isPaused() === true) {
          this.#stream.resume();
        }
        return message;
      }
      if (this.#outcome !== undefined) {
        if (this.#outcome.error !== undefined) throw this.#outcome.error;
        return undefined;
      }
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve;
      });
      this.#wakeReader = undefined;
    }
  }

  #decode(message: Buffer): MessageShape<DescMessage> {
    try {
      return fromBinary(this.#method.output, message, { readUnknownFields: false });
    } catch {
      throw this.#abandon('it sent a message that cannot be decoded');
    }
  }

  async #send(stream: http2.ClientHttp2Stream, requests: Requests): Promise<void> {
    try {
      if (Symbol.asyncIterator in requests) {
        for await (const request of requests) {
          if (this.#isOver()) return;
          this.#write(stream, request);
          while (this.#unwritten > writeAhead && !this.#isOver()) {
            await new Promise<void>((resolve) => {
              this.#wakeWriter = resolve;
            });
          }
        }
      } else {
        for (const request of requests) this.#write(stream, request);
      }
      if (!this.#isOver()) stream.end();
    } catch (error) {
      // The source of the requests failed: the guest must not take what it has for the whole.
      this.#finish({ kind: 'cancelled' }, toCoppiceError(error));
    }
  }

  #write(stream: http2.ClientHttp2Stream, request: MessageInitShape<DescMessage>): void {
    const message = toBinary(this.#method.input, create(this.#method.input, request));
    const size = 5 + message.length;
    this.#unwritten += size;
    const written = (): void => {
      this.#unwritten -= size;
      if (this.#unwritten <= writeAhead) this.#wakeWriter?.();
    };
    if (size <= copiedMessage) {
      const frame = Buffer.allocUnsafe(size);
      frame[0] = 0;
      frame.writeUInt32BE(message.length, 1);
      frame.set(message, 5);
      stream.write(frame, written);
      return;
    }
    const header = Buffer.alloc(5);
    header.writeUInt32BE(message.length, 1);
    // Corked, the two leave together without being copied into one.
    stream.cork();
    stream.write(header);
    stream.write(message, written);
    stream.uncork();
  }
}

/** At most eight digits and a unit. */
function timeoutHeader(timeoutMs: number): string {
  const ms = Math.ceil(timeoutMs);
  return ms < 100_000_000 ? `${String(ms)}m` : `${String(Math.ceil(ms / 1000))}S`;
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

/** grpc-message is percent-encoded UTF-8. */
function decodeMessage(value: string | string[] | undefined): string {
  const text = single(value) ?? '';
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
