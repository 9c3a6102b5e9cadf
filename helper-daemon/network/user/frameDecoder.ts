/** Cuts a stream into frames: each is preceded by its length, four bytes, big-endian. */
import { lengthPrefix } from './replies.ts';

/** What QEMU sends at most (its NET_BUFSIZE is 69 KiB; guests have no larger packets than IP's 64 KiB). */
export const maxFrame = 65_550;

/** The frame is `bytes[start..end)` and its length prefix stands right before `start`. */
export type OnFrame = (bytes: Buffer, start: number, end: number) => void;

export interface FrameDecoder {
  /**
   * Calls `onFrame` for each frame that is complete. Frames that lie within the chunk are not copied, so the
   * chunk belongs to the decoder's user from here on. False: a frame is too large, the stream is of no more use.
   */
  push(chunk: Buffer): boolean;
}

export function createFrameDecoder(onFrame: OnFrame): FrameDecoder {
  const prefix = Buffer.alloc(lengthPrefix);
  let prefixFilled = 0;
  /** A frame, with its prefix, whose end has not come yet. */
  let partial: Buffer | undefined;
  let filled = 0;

  /** Fills what earlier chunks began; returns where the next frame starts, or undefined when it is too large. */
  function continued(chunk: Buffer): number | undefined {
    let at = 0;
    if (partial === undefined && prefixFilled > 0) {
      const wanted = Math.min(lengthPrefix - prefixFilled, chunk.length);
      chunk.copy(prefix, prefixFilled, 0, wanted);
      prefixFilled += wanted;
      at = wanted;
      if (prefixFilled < lengthPrefix) return at;
      const length = prefix.readUInt32BE(0);
      if (length > maxFrame) return undefined;
      begin(prefix, 0, lengthPrefix, length);
      prefixFilled = 0;
    }
    if (partial === undefined) return at;
    const wanted = Math.min(partial.length - filled, chunk.length - at);
    chunk.copy(partial, filled, at, at + wanted);
    filled += wanted;
    at += wanted;
    if (filled === partial.length) {
      const frame = partial;
      partial = undefined;
      onFrame(frame, lengthPrefix, frame.length);
    }
    return at;
  }

  function begin(from: Buffer, start: number, end: number, length: number): void {
    partial = Buffer.allocUnsafeSlow(lengthPrefix + length);
    from.copy(partial, 0, start, end);
    filled = end - start;
  }

  return {
    push(chunk) {
      const next = continued(chunk);
      if (next === undefined) return false;
      let at = next;
      while (chunk.length - at >= lengthPrefix) {
        const length = chunk.readUInt32BE(at);
        if (length > maxFrame) return false;
        const end = at + lengthPrefix + length;
        if (end > chunk.length) {
          begin(chunk, at, chunk.length, length);
          return true;
        }
        onFrame(chunk, at + lengthPrefix, end);
        at = end;
      }
      if (at < chunk.length) prefixFilled = chunk.copy(prefix, 0, at);
      return true;
    },
  };
}
