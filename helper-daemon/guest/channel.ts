/** Opens the byte stream to an agent and gets past the hello, so that HTTP/2 can start on it. */
import { randomBytes } from 'node:crypto';
import net from 'node:net';
import { ChannelError } from './channelError.ts';
import { createAnswerScanner, encodeHello, type HelloAnswer } from './hello.ts';
import type { TransportAddress } from './transport.ts';

export interface ChannelOptions {
  /** 32 bytes. */
  readonly key: Uint8Array;
  readonly generation: bigint;
  readonly signal: AbortSignal;
  /** Time between hellos at first; it doubles up to the limit. */
  readonly retryMs?: number;
  readonly retryLimitMs?: number;
}

export interface Channel {
  readonly socket: net.Socket;
  readonly answer: HelloAnswer;
}

/**
 * Connects and says hello until it is answered.
 * @throws ChannelError when the stream breaks or holds nothing but noise, or the signal fires
 */
export async function openChannel(
  address: TransportAddress,
  options: ChannelOptions,
): Promise<Channel> {
  const socket = await connectTransport(address, options.signal);
  try {
    return { socket, answer: await sayHello(socket, options) };
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

async function connectTransport(
  address: TransportAddress,
  signal: AbortSignal,
): Promise<net.Socket> {
  if (address.kind === 'vsock') {
    // Loaded only where it is used: it brings native code along.
    const { connectVsock } = await import('./vsock.ts');
    return connectVsock(address.cid, address.port, signal);
  }
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(new ChannelError('the attempt was given up'));
      return;
    }
    const socket = net.connect(address.path);
    const onAbort = (): void => {
      socket.destroy();
      reject(new ChannelError('the attempt was given up'));
    };
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('connect', () => {
      signal.removeEventListener('abort', onAbort);
      socket.removeAllListeners('error');
      resolve(socket);
    });
    socket.once('error', (error) => {
      signal.removeEventListener('abort', onAbort);
      reject(new ChannelError(`its channel is closed (${error.message})`));
    });
  });
}

async function sayHello(socket: net.Socket, options: ChannelOptions): Promise<HelloAnswer> {
  const scanner = createAnswerScanner();
  const { signal, retryMs = 250, retryLimitMs = 4_000 } = options;
  let timer: NodeJS.Timeout | undefined;
  let stop: () => void = () => undefined;
  try {
    return await new Promise<HelloAnswer>((resolve, reject) => {
      const hello = (pause: number): void => {
        const nonce = randomBytes(16);
        scanner.expect(nonce);
        socket.write(encodeHello({ key: options.key, generation: options.generation, nonce }));
        timer = setTimeout(() => hello(Math.min(pause * 2, retryLimitMs)), pause);
      };
      const onData = (chunk: Buffer): void => {
        const result = scanner.push(chunk);
        if (result.state === 'hopeless') reject(new ChannelError('it sends nothing but noise'));
        if (result.state !== 'found') return;
        // From here on the bytes are HTTP/2's: nothing may be read and dropped in between.
        socket.pause();
        socket.removeListener('data', onData);
        if (result.rest.length > 0) socket.unshift(result.rest);
        resolve(result.answer);
      };
      const onError = (error: Error): void =>
        reject(new ChannelError(`its channel broke (${error.message})`));
      const onClose = (): void => reject(new ChannelError('its channel was closed'));
      const onAbort = (): void => reject(new ChannelError('it does not answer'));
      stop = () => {
        socket.removeListener('data', onData);
        socket.removeListener('error', onError);
        socket.removeListener('close', onClose);
        signal.removeEventListener('abort', onAbort);
      };
      if (signal.aborted) {
        onAbort();
        return;
      }
      signal.addEventListener('abort', onAbort, { once: true });
      socket.on('data', onData);
      socket.on('error', onError);
      socket.on('close', onClose);
      hello(retryMs);
    });
  } finally {
    clearTimeout(timer);
    stop();
    // A broken socket may still emit; without a listener that would end the daemon.
    socket.on('error', () => undefined);
  }
}
