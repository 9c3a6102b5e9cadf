import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { limits } from '../../../protocol/limits.ts';
import {
  encodeFrameHeader,
  FrameDecoder,
  frameType,
  parseStreamPreamble,
  streamPreamble,
  streamPreambleLength,
  type Frame,
} from '../../../protocol/stream.ts';

const frames = fc.array(
  fc.record({
    type: fc.constantFrom(...Object.values(frameType)),
    payload: fc.uint8Array({ maxLength: 300 }),
  }),
  { maxLength: 20 },
);

function encode(all: readonly Frame[]): Buffer {
  return Buffer.concat(
    all.flatMap(({ type, payload }) => [encodeFrameHeader(type, payload.length), payload]),
  );
}

describe('the frame decoder', () => {
  it('gives the same frames however the bytes are cut', () => {
    fc.assert(
      fc.property(
        frames,
        fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 1 }),
        (all, cuts) => {
          const bytes = encode(all);
          const decoder = new FrameDecoder();
          const seen: Frame[] = [];
          for (let offset = 0, turn = 0; offset < bytes.length; turn += 1) {
            const length = cuts[turn % cuts.length] ?? 1;
            seen.push(...decoder.push(bytes.subarray(offset, offset + length)));
            offset += length;
          }
          expect(decoder.atBoundary).toBe(true);
          expect(seen.map(({ type, payload }) => [type, [...payload]])).toEqual(
            all.map(({ type, payload }) => [type, [...payload]]),
          );
        },
      ),
    );
  });

  it('takes a frame of the largest size and refuses one byte more', () => {
    const header = encodeFrameHeader(frameType.data, limits.streamFrameBytes);
    expect(new FrameDecoder().push(header)).toEqual([]);
    const over = encodeFrameHeader(frameType.data, limits.streamFrameBytes + 1);
    expect(() => new FrameDecoder().push(over)).toThrow('Bad stream frame');
  });

  it('refuses unknown types at once', () => {
    expect(() => new FrameDecoder().push(Buffer.from([0, 0, 0, 0, 0]))).toThrow('type 0');
  });

  it('knows when it stopped in the middle of a frame', () => {
    const decoder = new FrameDecoder();
    decoder.push(Buffer.from([frameType.data, 0, 0, 0, 2, 65]));
    expect(decoder.atBoundary).toBe(false);
  });

  it('never fails in another way, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 50 })), (chunks) => {
        const decoder = new FrameDecoder();
        try {
          for (const chunk of chunks) decoder.push(chunk);
        } catch (error) {
          expect(error).toMatchObject({ code: 'invalid_input' });
        }
      }),
    );
  });
});

describe('the preamble of a stream', () => {
  const ticket = 'A'.repeat(43);
  it('carries the ticket', () => {
    expect(streamPreamble(ticket)).toHaveLength(streamPreambleLength);
    expect(parseStreamPreamble(streamPreamble(ticket))).toBe(ticket);
  });
  it.each([
    ['COPPICE-STREAM short\n'],
    [`COPPICE-STREAM ${ticket}`],
    [`coppice-stream ${ticket}\n`],
    [`COPPICE-STREAM ${ticket.slice(1)}!\n`],
  ])('is not %j', (text) => {
    expect(parseStreamPreamble(text)).toBeUndefined();
  });
});
