import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MessageReader } from '../../../helper-daemon/guest/messageReader.ts';
import { frame } from './fakeGuest.ts';

describe('MessageReader', () => {
  it('gives back every message, however the stream is cut', () => {
    const message = fc.oneof(
      fc.uint8Array({ maxLength: 20 }),
      fc.integer({ min: 1000, max: 3000 }).map((length) => new Uint8Array(length).fill(length)),
    );
    fc.assert(
      fc.property(
        fc.array(message),
        fc.array(fc.integer({ min: 1, max: 500 })),
        (messages, sizes) => {
          const stream = Buffer.concat(messages.map(frame));
          const reader = new MessageReader();
          const got: Buffer[] = [];
          for (let from = 0, turn = 0; from < stream.length; turn += 1) {
            const to = from + (sizes[turn % Math.max(1, sizes.length)] ?? stream.length);
            reader.push(stream.subarray(from, to), (part) => got.push(part));
            from = to;
          }
          expect(got.map((part) => part.toString('hex'))).toEqual(
            messages.map((part) => Buffer.from(part).toString('hex')),
          );
          expect(reader.atBoundary).toBe(true);
        },
      ),
    );
  });

  it('refuses a message that is too long before any of it arrives', () => {
    const reader = new MessageReader();
    const header = Buffer.from([0, 0xff, 0xff, 0xff, 0xff]);
    expect(() => reader.push(header, () => undefined)).toThrow(/4294967295 bytes/);
  });

  it('refuses compression', () => {
    const reader = new MessageReader();
    expect(() => reader.push(Buffer.from([1, 0, 0, 0, 1, 0]), () => undefined)).toThrow(
      /compressed/,
    );
  });

  it('knows when it is in the middle of a message', () => {
    const reader = new MessageReader();
    reader.push(Buffer.from([0, 0]), () => undefined);
    expect(reader.atBoundary).toBe(false);
  });
});
