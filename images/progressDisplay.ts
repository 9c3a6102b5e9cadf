/** Shows several jobs at once: live lines on a terminal, sparse plain lines in a log. */
import type { Progress } from '../helper-daemon/images/progress.ts';

export interface ProgressDisplay {
  update(progress: Progress): void;
  /** Ends a job's line for good. */
  done(step: string, text: string): void;
  close(): void;
}

export interface DisplayOutput {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string): unknown;
}

const logEveryMs = 15_000;
const redrawMs = 100;

export function progressDisplay(
  output: DisplayOutput = process.stderr,
  now: () => number = Date.now,
): ProgressDisplay {
  return output.isTTY === true ? terminalDisplay(output, now) : logDisplay(output, now);
}

function logDisplay(output: DisplayOutput, now: () => number): ProgressDisplay {
  const started = now();
  const shown = new Map<string, number>();
  const line = (text: string): void => void output.write(`[${elapsed(now() - started)}] ${text}\n`);
  return {
    update(progress) {
      const last = shown.get(progress.step);
      if (last !== undefined && now() - last < logEveryMs) return;
      shown.set(progress.step, now());
      line(describe(progress));
    },
    done: (step, text) => line(`${step}: ${text}`),
    close: () => undefined,
  };
}

function terminalDisplay(output: DisplayOutput, now: () => number): ProgressDisplay {
  const started = now();
  const current = new Map<string, Progress>();
  let drawn = 0;
  let lastDraw = 0;
  const clear = (): string => '\u001B[1A\u001B[2K'.repeat(drawn);
  const draw = (before = ''): void => {
    const width = (output.columns ?? 80) - 1;
    const lines = [...current.values()].map((progress) =>
      `[${elapsed(now() - started)}] ${describe(progress)}`.slice(0, width),
    );
    output.write(clear() + before + lines.map((line) => `${line}\n`).join(''));
    drawn = lines.length;
    lastDraw = now();
  };
  const timer = setInterval(() => draw(), 1000);
  timer.unref();
  return {
    update(progress) {
      current.set(progress.step, progress);
      if (now() - lastDraw >= redrawMs) draw();
    },
    done(step, text) {
      current.delete(step);
      draw(`[${elapsed(now() - started)}] ${step}: ${text}\n`);
    },
    close() {
      clearInterval(timer);
      current.clear();
      draw();
    },
  };
}

function describe(progress: Progress): string {
  const percent =
    progress.fraction === undefined
      ? ''
      : ` ${String(Math.floor(progress.fraction * 100)).padStart(2)} %`;
  return `${progress.step}:${percent} ${progress.detail ?? ''}`.trimEnd();
}

function elapsed(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  return `${String(Math.floor(seconds / 60)).padStart(2)}:${String(seconds % 60).padStart(2, '0')}`;
}
