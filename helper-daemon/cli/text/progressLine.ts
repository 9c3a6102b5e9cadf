/** What a long call is doing, on stderr: one line that renews itself, or plain lines where there is no terminal. */
import { cut, styleFor } from './style.ts';

export interface Progress {
  /** @param fraction 0 to 1 where it is known */
  update(message: string, fraction?: number): void;
  /** Removes the line. */
  stop(): void;
}

const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'] as const;
const frameMs = 90;
/** Quick calls should not flicker. */
const silentMs = 150;
/** A log needs to hear only of what takes long. */
const silentPlainMs = 3000;

export const noProgress: Progress = { update: () => undefined, stop: () => undefined };

export function startProgress(
  message: string,
  stream: NodeJS.WriteStream = process.stderr,
): Progress {
  return stream.isTTY ? renewingLine(message, stream) : plainLines(message, stream);
}

function renewingLine(first: string, stream: NodeJS.WriteStream): Progress {
  const style = styleFor(stream);
  let message = first;
  let fraction: number | undefined;
  let tick = 0;
  let shown = false;
  const draw = (): void => {
    const spinner = style.accent(frames[tick++ % frames.length] ?? '-');
    const percent = fraction === undefined ? '' : ` ${String(Math.floor(fraction * 100))} %`;
    stream.write(`\r\x1b[2K${spinner} ${cut(message + percent, (stream.columns || 80) - 3)}`);
    shown = true;
  };
  let timer = setTimeout(function again() {
    draw();
    timer = setTimeout(again, frameMs);
  }, silentMs);
  return {
    update(text, part) {
      message = text;
      fraction = part;
    },
    stop() {
      clearTimeout(timer);
      if (shown) stream.write('\r\x1b[2K');
      shown = false;
    },
  };
}

/** A line per new message, and at most one per ten per cent: what a CI log should hold. */
function plainLines(first: string, stream: NodeJS.WriteStream): Progress {
  let current = first;
  let tenth = -1;
  let said = '';
  let talking = false;
  const say = (): void => {
    const line = `${current}${tenth <= 0 ? '' : ` ${String(tenth * 10)} %`}`;
    if (line !== said) stream.write(`${line}\n`);
    said = line;
  };
  const timer = setTimeout(() => {
    talking = true;
    say();
  }, silentPlainMs);
  return {
    update(message, fraction) {
      const now = fraction === undefined ? -1 : Math.floor(fraction * 10);
      if (message === current && now <= tenth) return;
      current = message;
      tenth = now;
      if (talking) say();
    },
    stop: () => clearTimeout(timer),
  };
}
