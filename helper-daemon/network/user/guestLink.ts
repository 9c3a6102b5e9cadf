/**
 * The daemon's end of a machine's card: a connection to the socket that the monitor listens on. It is made again
 * when it breaks, for as long as the machine is attached.
 */
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../../system/log.ts';
import { createFrameSocket, type FrameSocket } from './frameSocket.ts';
import type { OnFrame } from './frameDecoder.ts';
import type { FrameSink } from './machine.ts';

export interface GuestLink extends FrameSink {
  /** Resolves with the first connection, or when there was none in good time. */
  readonly ready: Promise<void>;
  flush(): void;
  backlog(): number;
  close(): void;
}

export interface GuestLinkOptions {
  readonly path: string;
  readonly log: Log;
  readonly onFrame: OnFrame;
  /** What had to wait for the machine has been taken. */
  onDrain(): void;
}

const retryMs = 50;
/** A monitor that is about to end, or one without the socket, is not waited for. */
const giveUpMs = 5000;
/** Between connections, so that a stream that breaks at once does not keep the daemon busy. */
const pauseMs = 250;

export function openGuestLink(options: GuestLinkOptions): GuestLink {
  const { log, path } = options;
  const stop = new AbortController();
  let frames: FrameSocket | undefined;
  let firstTry: () => void = () => undefined;
  const ready = new Promise<void>((resolve) => {
    firstTry = resolve;
  });

  function use(socket: Socket): Promise<string> {
    return new Promise((resolve) => {
      frames = createFrameSocket(socket, {
        onFrame: options.onFrame,
        onBatchEnd: () => undefined,
        onDrain: options.onDrain,
        onClosed: resolve,
      });
    });
  }

  async function keep(): Promise<void> {
    for (;;) {
      const socket = await connectSoon(path, stop.signal);
      if (socket === undefined) break;
      const closed = use(socket);
      firstTry();
      const reason = await closed;
      frames = undefined;
      options.onDrain();
      if (stop.signal.aborted) return;
      log.info({ path, reason }, 'connection to a network card ended');
      await delay(pauseMs, undefined, { signal: stop.signal });
    }
    if (!stop.signal.aborted) log.warn({ path }, 'a network card cannot be connected to');
  }

  keep()
    .catch((error: unknown) => {
      if (!stop.signal.aborted) log.error({ err: error, path }, 'a network card is given up');
    })
    .finally(() => firstTry());

  return {
    ready,
    pass: (bytes, start, end) => frames?.pass(bytes, start, end) ?? false,
    flush: () => frames?.flush(),
    backlog: () => frames?.backlog() ?? 0,
    close() {
      stop.abort();
      frames?.close();
    },
  };
}

/** Undefined: nobody has listened there for a while, or it was stopped. */
async function connectSoon(path: string, signal: AbortSignal): Promise<Socket | undefined> {
  const giveUpAt = performance.now() + giveUpMs;
  while (!signal.aborted && performance.now() < giveUpAt) {
    const socket = await connectOnce(path);
    if (socket !== undefined && !signal.aborted) return socket;
    socket?.destroy();
    if (!signal.aborted) await delay(retryMs, undefined, { signal });
  }
  return undefined;
}

function connectOnce(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.removeAllListeners('error');
      resolve(socket);
    });
    socket.once('error', () => resolve(undefined));
  });
}
