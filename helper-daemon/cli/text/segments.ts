/** A line of differently styled parts that can be cut to a terminal without cutting escapes apart. */
import { displayWidth } from './style.ts';

export interface Segment {
  readonly text: string;
  readonly paint?: (text: string) => string;
}

const graphemes = new Intl.Segmenter();

/** @param width columns; undefined: as long as it is */
export function joinSegments(
  segments: readonly Segment[],
  width: number | undefined,
  ellipsis: string,
): string {
  const whole = segments.reduce((sum, { text }) => sum + displayWidth(text), 0);
  if (width === undefined || whole <= width) return segments.map(painted).join('').trimEnd();
  let room = Math.max(0, width - displayWidth(ellipsis));
  let line = '';
  for (const segment of segments) {
    const text = fitting(segment.text, room);
    line += painted({ ...segment, text });
    if (text !== segment.text) break;
    room -= displayWidth(text);
  }
  return line + ellipsis;
}

/** As much of the beginning as fits, without half a character. */
export function fitting(text: string, width: number): string {
  let room = width;
  let kept = '';
  for (const { segment } of graphemes.segment(text)) {
    room -= displayWidth(segment);
    if (room < 0) break;
    kept += segment;
  }
  return kept;
}

function painted({ text, paint }: Segment): string {
  return text === '' || paint === undefined ? text : paint(text);
}
