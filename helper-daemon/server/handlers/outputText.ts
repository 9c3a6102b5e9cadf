/** Captured output as text: whole where it was kept whole, else head, a mark with the count, tail. */

export interface CaptureParts {
  readonly head: Uint8Array;
  readonly tail: Uint8Array;
  readonly totalBytes: bigint;
}

const continuation = (byte: number | undefined): boolean =>
  byte !== undefined && (byte & 0xc0) === 0x80;

/** Whether nothing of it was left out, from the byte on that was asked for. */
export function isWhole(capture: CaptureParts | undefined, offset = 0): boolean {
  if (capture === undefined) return true;
  return capture.head.length + capture.tail.length >= Number(capture.totalBytes) - offset;
}

/** @param offset the byte it begins at; counts are of what comes from there on */
export function captureText(capture: CaptureParts | undefined, offset = 0): string {
  if (capture === undefined) return '';
  const { head, tail } = capture;
  const total = Number(capture.totalBytes) - offset;
  if (isWhole(capture, offset)) return decode(Buffer.concat([head, tail]));
  const whole = cutHead(head);
  const rest = cutTail(tail);
  return `${decode(whole)}\n[TRUNCATED: ${String(total)} bytes total, showing first ${String(whole.length)} bytes and last ${String(rest.length)} bytes]\n${decode(rest)}`;
}

function decode(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
}

/** Without a character that was cut in two at the end. */
function cutHead(bytes: Uint8Array): Uint8Array {
  let start = bytes.length - 1;
  while (start > 0 && bytes.length - start < 4 && continuation(bytes[start])) start -= 1;
  const first = bytes[start];
  if (first === undefined || first < 0xc0) return bytes;
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  return start + length > bytes.length ? bytes.subarray(0, start) : bytes;
}

/** Without the rest of a character that began before. */
function cutTail(bytes: Uint8Array): Uint8Array {
  let start = 0;
  while (start < 3 && continuation(bytes[start])) start += 1;
  return bytes.subarray(start);
}
