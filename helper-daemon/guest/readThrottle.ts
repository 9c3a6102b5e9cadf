/**
 * Bounds the daemon's time that one guest can take. HTTP/2 lets a peer cut its data into frames of one
 * byte; each costs the daemon half a microsecond, and one turn of the event loop may bring 200,000 of
 * them. Beyond the budget the guest's socket is not read until the next window.
 */
import type net from 'node:net';

/** An honest guest sends frames of 16 KiB in bulk: this many of them are more than a gigabyte a second. */
const framesPerWindow = 5_000;
const windowMs = 50;

export interface ReadThrottle {
  /** Call for every frame that reached JavaScript. */
  count(): void;
  close(): void;
}

/** HTTP/2 has taken over the socket's handle; pausing the socket would not stop it, the handle does. */
interface ReadableHandle {
  readStop(): number;
  readStart(): number;
}

export function throttleReads(socket: net.Socket): ReadThrottle {
  const handle = (socket as unknown as { readonly _handle?: ReadableHandle | null })._handle;
  let frames = 0;
  let windowEnd = 0;
  let timer: NodeJS.Timeout | undefined;
  return {
    count() {
      frames += 1;
      if (frames < framesPerWindow || timer !== undefined) return;
      const now = performance.now();
      if (now >= windowEnd) {
        // The frames came slowly enough; this look at the clock begins a new window.
        windowEnd = now + windowMs;
        frames = 0;
        return;
      }
      handle?.readStop();
      timer = setTimeout(() => {
        timer = undefined;
        frames = 0;
        windowEnd = performance.now() + windowMs;
        if (!socket.destroyed) handle?.readStart();
      }, windowMs);
    },
    close() {
      clearTimeout(timer);
    },
  };
}
