/**
 * Checks the Content-Length framing of JSON-RPC before vscode-jsonrpc sees it: that library neither
 * bounds a message nor ends a connection whose framing is broken. Bytes pass through unchanged.
 */
import { Transform, type TransformCallback } from 'node:stream';
import { limits } from '../../protocol/limits.ts';

const headerEnd = Buffer.from('\r\n\r\n');
const headerPattern =
  /^Content-Length: (\d{1,10})\r\n(?:Content-Type: [\x20-\x7e]{1,200}\r\n)?\r\n$/i;

/** Ends with an error (`destroy`) on the first bad frame. */
export class FrameGuard extends Transform {
  #header = Buffer.alloc(0);
  #bodyLeft = 0;

  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    const problem = this.#check(chunk);
    if (problem !== undefined) {
      done(new Error(problem));
      return;
    }
    done(null, chunk);
  }

  #check(chunk: Buffer): string | undefined {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#bodyLeft > 0) {
        const taken = Math.min(this.#bodyLeft, rest.length);
        this.#bodyLeft -= taken;
        rest = rest.subarray(taken);
        continue;
      }
      const known = this.#header.length;
      const header = Buffer.concat([this.#header, rest.subarray(0, limits.rpcHeaderBytes)]);
      const end = header.indexOf(headerEnd);
      if (end === -1) {
        if (header.length >= limits.rpcHeaderBytes) return 'The message header is too long.';
        this.#header = header;
        return undefined;
      }
      const length = headerPattern.exec(header.toString('latin1', 0, end + 4))?.[1];
      if (length === undefined) return 'The message header is malformed.';
      if (Number(length) > limits.rpcFrameBytes) {
        return `A message of ${length} bytes is over the limit of ${String(limits.rpcFrameBytes)}.`;
      }
      this.#header = Buffer.alloc(0);
      this.#bodyLeft = Number(length);
      rest = rest.subarray(end + 4 - known);
    }
    return undefined;
  }
}
