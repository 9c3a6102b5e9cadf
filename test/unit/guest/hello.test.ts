import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  answerLength,
  createAnswerScanner,
  decodeAnswer,
  encodeAnswer,
  encodeHello,
  helloLength,
  type HelloAnswer,
  type ScanResult,
} from '../../../helper-daemon/guest/hello.ts';

const bytes = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: length, maxLength: length });
const answers: fc.Arbitrary<HelloAnswer> = fc.record({
  nonce: bytes(16),
  protocolGeneration: fc.integer({ min: 0, max: 65_535 }),
  generation: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
  bootId: fc.uuid(),
});

function pushInPieces(
  scanner: ReturnType<typeof createAnswerScanner>,
  stream: Buffer,
  cuts: readonly number[],
): ScanResult {
  const at = [...new Set(cuts.map((cut) => cut % (stream.length + 1)))].sort((a, b) => a - b);
  let from = 0;
  for (const to of [...at, stream.length]) {
    const result = scanner.push(stream.subarray(from, to));
    if (result.state === 'found') {
      return { ...result, rest: Buffer.concat([result.rest, stream.subarray(to)]) };
    }
    from = to;
  }
  return { state: 'searching' };
}

describe('the hello', () => {
  it('has the layout that the agent expects', () => {
    const key = Buffer.alloc(32, 0xaa);
    const nonce = Buffer.alloc(16, 0xbb);
    const hello = encodeHello({ key, generation: 0x0102030405060708n, nonce });
    expect(hello.length).toBe(helloLength);
    expect(hello.toString('hex')).toBe(
      `${'aa'.repeat(32)}000100000102030405060708${'bb'.repeat(16)}${'00'.repeat(16)}${hello.toString('hex', 76)}`,
    );
    expect(hello.readUInt32BE(76)).toBe(0x0000_0000 + crc(hello.subarray(32, 76)));
  });

  it('decodes every answer it encodes', () => {
    fc.assert(
      fc.property(answers, (answer) => {
        const decoded = decodeAnswer(encodeAnswer(answer));
        expect(decoded).toEqual({ ...answer, nonce: Buffer.from(answer.nonce) });
      }),
    );
  });

  it('refuses an answer with any bit turned', () => {
    fc.assert(
      fc.property(answers, fc.nat(answerLength * 8 - 1), (answer, bit) => {
        const encoded = encodeAnswer(answer);
        encoded[bit >> 3] = (encoded[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        expect(decodeAnswer(encoded)).toBeUndefined();
      }),
    );
  });
});

describe('the scanner', () => {
  it('finds the awaited answer in noise, however the stream is cut, and gives what follows', () => {
    const magic = Buffer.from('COPPICE!');
    const noise = fc
      .array(
        fc.oneof(
          fc.uint8Array({ maxLength: 100 }),
          fc.constant(magic),
          fc.constant(magic.subarray(0, 5)),
        ),
      )
      .map((parts) => Buffer.concat(parts));
    fc.assert(
      fc.property(
        noise,
        answers,
        answers,
        fc.uint8Array(),
        fc.array(fc.nat()),
        (before, stale, answer, after, cuts) => {
          fc.pre(!Buffer.from(stale.nonce).equals(Buffer.from(answer.nonce)));
          const scanner = createAnswerScanner();
          scanner.expect(answer.nonce);
          const stream = Buffer.concat([
            before,
            encodeAnswer(stale),
            before,
            encodeAnswer(answer),
            after,
          ]);
          const result = pushInPieces(scanner, stream, cuts);
          expect(result.state).toBe('found');
          if (result.state !== 'found') return;
          expect(result.answer.bootId).toBe(answer.bootId);
          expect(result.rest.equals(Buffer.from(after))).toBe(true);
        },
      ),
    );
  });

  it('ignores the answer to an earlier hello', () => {
    const scanner = createAnswerScanner();
    const first = randomBytes(16);
    scanner.expect(first);
    scanner.expect(randomBytes(16));
    const answer = {
      nonce: first,
      protocolGeneration: 1,
      generation: 1n,
      bootId: crypto.randomUUID(),
    };
    expect(scanner.push(encodeAnswer(answer)).state).toBe('searching');
  });

  it('gives up on endless noise', () => {
    const scanner = createAnswerScanner(1000);
    expect(scanner.push(Buffer.alloc(900)).state).toBe('searching');
    expect(scanner.push(Buffer.alloc(900)).state).toBe('hopeless');
  });
});

function crc(data: Buffer): number {
  let value = 0xffff_ffff;
  for (const byte of data) {
    value ^= byte;
    for (let bit = 0; bit < 8; bit += 1) value = (value >>> 1) ^ (value & 1 ? 0xedb8_8320 : 0);
  }
  return (value ^ 0xffff_ffff) >>> 0;
}
