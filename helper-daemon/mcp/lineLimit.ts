/** Bounds the lines of a stream before anybody parses them. */
import { Transform, type TransformCallback } from 'node:stream';

/** What is kept of a line that is too long: enough to find out which request it was. */
const edge = 1024;

/**
 * Passes whole lines on, one chunk each, and drops those over `limit` bytes.
 * @param refuse is told the id of the JSON-RPC request that was dropped, where it can be seen
 */
export function limitLines(limit: number, refuse: (id: string | number | null) => void): Transform {
  let parts: Buffer[] = [];
  let length = 0;
  let dropped: { head: Buffer; tail: Buffer } | undefined;

  function take(piece: Buffer): void {
    if (dropped !== undefined) {
      dropped.tail = Buffer.concat([dropped.tail, piece.subarray(-edge)]).subarray(-edge);
      return;
    }
    parts.push(piece);
    length += piece.length;
    if (length <= limit) return;
    const line = Buffer.concat(parts);
    dropped = {
      head: Buffer.from(line.subarray(0, edge)),
      tail: Buffer.from(line.subarray(-edge)),
    };
    parts = [];
    length = 0;
  }

  return new Transform({
    transform(chunk: Buffer, _encoding: string, done: TransformCallback) {
      let rest = chunk;
      for (let end = rest.indexOf(0x0a); end !== -1; end = rest.indexOf(0x0a)) {
        take(rest.subarray(0, end + 1));
        rest = rest.subarray(end + 1);
        if (dropped === undefined) this.push(Buffer.concat(parts));
        else refuse(requestId(dropped.head, dropped.tail));
        dropped = undefined;
        parts = [];
        length = 0;
      }
      if (rest.length > 0) take(rest);
      done();
    },
  });
}

/** Writers of JSON put the id before the method or after everything. */
function requestId(head: Buffer, tail: Buffer): string | number | null {
  const value = '(\\d{1,15}|"[^"\\\\]{1,128}")';
  const first = new RegExp(`^\\{(?:"jsonrpc":"2\\.0",)?"id":${value},`).exec(head.toString('utf8'));
  const last = new RegExp(`,"id":${value}\\}\\s*$`).exec(tail.toString('utf8'));
  const found = (first ?? last)?.[1];
  return found === undefined ? null : (JSON.parse(found) as string | number);
}
