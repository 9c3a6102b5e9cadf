/** The output of a task as its result holds it. */
import type { JobOutput } from './teamServices.ts';

const mark = '... (truncated)';

/** At most `limit` bytes of UTF-8, without a character cut in two; a mark follows where there was more. */
export function shorten({ head, totalBytes }: JobOutput, limit: number): string {
  // Bytes that are no UTF-8 become a character of three: only text has a size that counts.
  const text = Buffer.from(head.subarray(0, limit + 4)).toString('utf8');
  const kept = cutText(text, limit);
  return totalBytes > limit || kept !== text ? kept + mark : kept;
}

/** At most `limit` bytes of UTF-8. */
export function cutText(text: string, limit: number): string {
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length <= limit) return text;
  let end = limit;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.toString('utf8', 0, end);
}
