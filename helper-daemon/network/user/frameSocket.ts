/**
 * A stream of frames in both directions over one socket. Runs of neighbouring frames that go the same way are
 * written as they were read: nothing is copied, and one write carries many of them.
 */
import type { Duplex } from 'node:stream';
import { createFrameDecoder, type OnFrame } from './frameDecoder.ts';
import { lengthPrefix } from './replies.ts';

/** Bytes that may wait for a reader; what comes on top is lost, as on a real link. */
const maxBacklog = 1024 * 1024;

export interface FrameSocketEvents {
  readonly onFrame: OnFrame;
  /** All complete frames of what was read have been reported. */
  onBatchEnd(): void;
  /** After a backlog: everything has been written. */
  onDrain(): void;
  /** Once; nothing is reported afterwards. */
  onClosed(reason: string): void;
}

export interface FrameSocket {
  /** Takes over a frame as a decoder gives it. False: it is lost. */
  pass(bytes: Buffer, start: number, end: number): boolean;
  /** Writes what was passed; happens by itself before the next event otherwise. */
  flush(): void;
  /** Bytes that the other end has not taken yet. */
  backlog(): number;
  pause(): void;
  resume(): void;
  close(): void;
}

export function createFrameSocket(socket: Duplex, events: FrameSocketEvents): FrameSocket {
  let runs: Buffer[] = [];
  let runBytes: Buffer | undefined;
  let runStart = 0;
  let runEnd = 0;
  let queued = 0;
  let scheduled = false;
  let closed = false;

  function endRun(): void {
    if (runBytes === undefined) return;
    const run = runBytes.subarray(runStart, runEnd);
    // A few bytes must not keep a whole chunk in memory while they wait.
    runs.push(run.length * 4 < runBytes.length ? Buffer.from(run) : run);
    runBytes = undefined;
  }

  function flush(): void {
    scheduled = false;
    endRun();
    const parts = runs;
    runs = [];
    queued = 0;
    if (closed || parts.length === 0) return;
    if (parts.length > 1) socket.cork();
    for (const part of parts) socket.write(part);
    if (parts.length > 1) socket.uncork();
  }

  function close(reason: string): void {
    if (closed) return;
    closed = true;
    runs = [];
    runBytes = undefined;
    socket.destroy();
    events.onClosed(reason);
  }

  const decoder = createFrameDecoder((bytes, start, end) => {
    if (!closed) events.onFrame(bytes, start, end);
  });
  socket.on('data', (chunk: Buffer) => {
    if (closed) return;
    if (!decoder.push(chunk)) {
      close('a frame was too large');
      return;
    }
    if (!closed) events.onBatchEnd();
  });
  socket.on('drain', () => {
    if (!closed) events.onDrain();
  });
  socket.on('error', (error) => close(error.message));
  socket.on('end', () => close('the other end closed it'));
  socket.on('close', () => close('closed'));

  return {
    pass(bytes, start, end) {
      if (closed || socket.writableLength + queued > maxBacklog) return false;
      const from = start - lengthPrefix;
      if (runBytes === bytes && runEnd === from) {
        runEnd = end;
      } else {
        endRun();
        runBytes = bytes;
        runStart = from;
        runEnd = end;
      }
      queued += end - from;
      if (!scheduled) {
        scheduled = true;
        queueMicrotask(flush);
      }
      return true;
    },
    flush,
    backlog: () => socket.writableLength + queued,
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    close: () => close('closed here'),
  };
}
