/** The hello below HTTP/2, as docs/guest-channel.md defines it. Pure; no I/O. */
import { crc32 } from 'node:zlib';

const protocolGeneration = 1;
export const helloLength = 80;
export const answerLength = 64;
/** Bytes without an answer after which a conversation is hopeless. */
const noiseLimit = 64 * 1024 * 1024;

const magic = Buffer.from('COPPICE!', 'latin1');
const keyLength = 32;
const nonceLength = 16;

export interface Hello {
  /** 32 bytes. */
  readonly key: Uint8Array;
  /** Generation of the machine. */
  readonly generation: bigint;
  /** 16 bytes, fresh for every hello. */
  readonly nonce: Uint8Array;
}

export interface HelloAnswer {
  readonly nonce: Uint8Array;
  readonly protocolGeneration: number;
  readonly generation: bigint;
  /** The guest's boot id in its usual spelling. */
  readonly bootId: string;
}

export function encodeHello(hello: Hello): Buffer {
  const bytes = Buffer.alloc(helloLength);
  bytes.set(hello.key.subarray(0, keyLength), 0);
  bytes.writeUInt16BE(protocolGeneration, 32);
  bytes.writeBigUInt64BE(hello.generation, 36);
  bytes.set(hello.nonce.subarray(0, nonceLength), 44);
  bytes.writeUInt32BE(crc32(bytes.subarray(keyLength, 76)), 76);
  return bytes;
}

export function encodeAnswer(answer: HelloAnswer): Buffer {
  const bytes = Buffer.alloc(answerLength);
  magic.copy(bytes);
  bytes.set(answer.nonce.subarray(0, nonceLength), 8);
  bytes.writeUInt16BE(answer.protocolGeneration, 24);
  bytes.writeBigUInt64BE(answer.generation, 28);
  bytes.write(answer.bootId.replaceAll('-', ''), 36, 16, 'hex');
  bytes.writeUInt32BE(crc32(bytes.subarray(0, 60)), 60);
  return bytes;
}

/** undefined when the first 64 bytes are no answer. */
export function decodeAnswer(bytes: Buffer): HelloAnswer | undefined {
  if (bytes.length < answerLength || !bytes.subarray(0, magic.length).equals(magic)) {
    return undefined;
  }
  if (bytes.readUInt32BE(60) !== crc32(bytes.subarray(0, 60))) return undefined;
  const hex = bytes.toString('hex', 36, 52);
  return {
    nonce: Buffer.from(bytes.subarray(8, 24)),
    protocolGeneration: bytes.readUInt16BE(24),
    generation: bytes.readBigUInt64BE(28),
    bootId: hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'),
  };
}

export type ScanResult =
  | { readonly state: 'searching' }
  /** `rest` is what followed the answer: the first bytes of HTTP/2. */
  | { readonly state: 'found'; readonly answer: HelloAnswer; readonly rest: Buffer }
  | { readonly state: 'hopeless' };

export interface AnswerScanner {
  /** From now on only the answer with this nonce counts. */
  expect(nonce: Uint8Array): void;
  push(chunk: Buffer): ScanResult;
}

/** Looks for the awaited answer in whatever the stream still holds; never keeps more than 63 bytes. */
export function createAnswerScanner(limit = noiseLimit): AnswerScanner {
  let kept: Buffer = Buffer.alloc(0);
  let noise = 0;
  let awaited: Buffer = Buffer.alloc(0);
  return {
    expect(nonce) {
      awaited = Buffer.from(nonce);
    },
    push(chunk) {
      const bytes = kept.length === 0 ? chunk : Buffer.concat([kept, chunk]);
      let from = 0;
      for (;;) {
        const at = bytes.indexOf(magic, from);
        if (at < 0) {
          // A magic may begin in the last seven bytes.
          from = Math.max(from, bytes.length - (magic.length - 1));
          break;
        }
        from = at;
        if (bytes.length - at < answerLength) break;
        const answer = decodeAnswer(bytes.subarray(at, at + answerLength));
        if (answer !== undefined && awaited.equals(answer.nonce)) {
          return { state: 'found', answer, rest: bytes.subarray(at + answerLength) };
        }
        from = at + 1;
      }
      noise += from;
      kept = Buffer.from(bytes.subarray(from));
      return noise > limit ? { state: 'hopeless' } : { state: 'searching' };
    },
  };
}
