import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  createFrameDecoder,
  maxFrame,
} from '../../../../helper-daemon/network/user/frameDecoder.ts';
import { prefixed } from './wire.ts';

function decode(chunks: readonly Buffer[]): { frames: string[]; sound: boolean } {
  const frames: string[] = [];
  const decoder = createFrameDecoder((bytes, start, end) => {
    expect(bytes.readUInt32BE(start - 4)).toBe(end - start);
    frames.push(bytes.toString('hex', start, end));
  });
  return { sound: chunks.every((chunk) => decoder.push(chunk)), frames };
}

describe('createFrameDecoder', () => {
  it('finds the same frames wherever the stream is cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 40 }),
        (frames, cuts) => {
          const stream = Buffer.concat(frames.map((frame) => prefixed(Buffer.from(frame))));
          const chunks: Buffer[] = [];
          for (let at = 0, cut = 0; at < stream.length; cut += 1) {
            const size = cuts[cut % cuts.length]!;
            chunks.push(Buffer.from(stream.subarray(at, at + size)));
            at += size;
          }
          expect(decode(chunks)).toEqual({
            sound: true,
            frames: frames.map((frame) => Buffer.from(frame).toString('hex')),
          });
        },
      ),
    );
  });

  it('takes the largest frame and no larger one, also when its length is cut', () => {
    const largest = prefixed(Buffer.alloc(maxFrame));
    expect(decode([largest]).frames).toHaveLength(1);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(maxFrame + 1);
    expect(decode([length]).sound).toBe(false);
    expect(decode([length.subarray(0, 2), length.subarray(2)]).sound).toBe(false);
  });
});
