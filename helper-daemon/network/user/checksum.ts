/** The internet checksum (RFC 1071) and what can be done to it without summing anew. */

/** Sum of 16-bit words, not yet folded. An odd last byte counts as the high one. */
export function sumWords(bytes: Uint8Array, start: number, end: number, initial = 0): number {
  let sum = initial;
  let at = start;
  for (; at + 1 < end; at += 2) sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  if (at < end) sum += (bytes[at] ?? 0) << 8;
  return sum;
}

/** The field's value for a sum of at most 2^32. */
export function foldSum(sum: number): number {
  let folded = (sum & 0xffff) + Math.floor(sum / 0x1_0000);
  folded = (folded & 0xffff) + (folded >>> 16);
  folded = (folded & 0xffff) + (folded >>> 16);
  return ~folded & 0xffff;
}

/** Sum of the pseudo header that TCP and UDP checksums begin with. */
export function pseudoSum(
  source: number,
  destination: number,
  protocol: number,
  length: number,
): number {
  return (
    (source >>> 16) +
    (source & 0xffff) +
    (destination >>> 16) +
    (destination & 0xffff) +
    protocol +
    length
  );
}

/** The checksum of a header one of whose words has become smaller by `by`. */
export function checksumAfterDecrease(checksum: number, by: number): number {
  const raised = checksum + by;
  return (raised + (raised >= 0xffff ? 1 : 0)) & 0xffff;
}
