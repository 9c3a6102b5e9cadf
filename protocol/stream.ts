/**
 * Byte streams beside JSON-RPC. A client that holds a ticket connects to the same socket again, sends
 * `streamPreamble(ticket)` and then frames: type (1 byte), payload length (4 bytes, big-endian), payload.
 * The server ends every stream with one `result` or `error` frame.
 */
import { CoppiceError } from './errors.ts';
import { limits } from './limits.ts';

export const frameType = {
  /** stdin or uploaded bytes to the server; stdout or downloaded bytes to the client. */
  data: 1,
  /** stderr to the client. */
  stderr: 2,
  /** No more input: closes stdin, completes an upload. */
  end: 3,
  /** JSON StreamControl to the server. */
  control: 4,
  /** JSON, last frame of a stream that went well. */
  result: 5,
  /** JSON ErrorBody, last frame of a stream that failed. */
  error: 6,
  /** JSON to the client: the process exists (StreamStarted), or the connection of a tunnel stands ({}). */
  started: 7,
} as const;

export type FrameType = (typeof frameType)[keyof typeof frameType];

export type StreamControl =
  | { readonly resize: { readonly columns: number; readonly rows: number } }
  | { readonly signal: number };

export interface StreamStarted {
  readonly job_id: number;
  readonly pid: number;
}

export interface Frame {
  readonly type: FrameType;
  readonly payload: Uint8Array;
}

const preambleWord = 'COPPICE-STREAM ';
const ticketLength = 43;
export const streamPreambleLength = preambleWord.length + ticketLength + 1;

export function streamPreamble(ticket: string): string {
  return `${preambleWord}${ticket}\n`;
}

/** The ticket in a complete preamble, or undefined when these bytes are none. */
export function parseStreamPreamble(text: string): string | undefined {
  return /^COPPICE-STREAM ([A-Za-z0-9_-]{43})\n$/.exec(text)?.[1];
}

export function encodeFrameHeader(type: FrameType, length: number): Uint8Array {
  const header = new Uint8Array(5);
  header[0] = type;
  new DataView(header.buffer).setUint32(1, length);
  return header;
}

const knownTypes: ReadonlySet<number> = new Set(Object.values(frameType));

/**
 * Cuts a byte stream into frames; payloads are views of the chunks given wherever possible.
 * @throws CoppiceError `invalid_input` on an unknown type or an oversized frame; the stream is then useless.
 */
export class FrameDecoder {
  #chunks: Uint8Array[] = [];
  #length = 0;
  /** Bytes that must be there before looking again makes sense. */
  #wanted = 5;

  push(chunk: Uint8Array): Frame[] {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    if (this.#length < this.#wanted) return [];
    let buffer = joinChunks(this.#chunks, this.#length);
    const frames: Frame[] = [];
    this.#wanted = 5;
    while (buffer.length >= 5) {
      const type = buffer[0] as FrameType;
      const length = new DataView(buffer.buffer, buffer.byteOffset).getUint32(1);
      if (!knownTypes.has(type) || length > limits.streamFrameBytes) {
        throw new CoppiceError({
          code: 'invalid_input',
          message: `Bad stream frame (type ${String(type)}, ${String(length)} bytes).`,
        });
      }
      this.#wanted = 5 + length;
      if (buffer.length < this.#wanted) break;
      frames.push({ type, payload: buffer.subarray(5, this.#wanted) });
      buffer = buffer.subarray(this.#wanted);
      this.#wanted = 5;
    }
    this.#chunks = buffer.length === 0 ? [] : [buffer];
    this.#length = buffer.length;
    return frames;
  }

  /** True when the stream stopped between two frames. */
  get atBoundary(): boolean {
    return this.#length === 0;
  }
}

function joinChunks(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const [first] = chunks;
  if (chunks.length === 1 && first !== undefined) return first;
  const joined = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    joined.set(chunk, offset);
    offset += chunk.length;
  }
  return joined;
}
