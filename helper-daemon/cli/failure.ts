/** How failures look: what happened and why, then what to do; or one JSON value. */
import { asCoppiceError, CoppiceError, type ErrorBody } from '../../protocol/errors.ts';
import { exitCodes } from './exitCodes.ts';
import { printableLines } from './text/printable.ts';
import { styleFor } from './text/style.ts';

/** The command line is wrong. */
export class UsageError extends Error {
  readonly next: string;
  constructor(message: string, next: string) {
    super(message);
    this.next = next;
  }
}

/** Somebody ended this with a signal; nothing more is known of what was under way. */
export class GaveUp extends CoppiceError {
  readonly exitCode: number;
  constructor(exitCode: number) {
    super({
      code: 'cancelled',
      message: 'Gave up on the command; it is killed with everything it started.',
    });
    this.exitCode = exitCode;
  }
}

/** @returns the exit code that goes with it */
export function reportFailure(error: unknown, json: boolean): number {
  const usage = error instanceof UsageError;
  const body: ErrorBody = usage
    ? { code: 'invalid_input', message: error.message, next: error.next }
    : asCoppiceError(error).toBody();
  if (json) process.stdout.write(`${JSON.stringify({ error: body })}\n`);
  else writeFailure(body);
  if (usage) return exitCodes.usage;
  if (error instanceof GaveUp) return error.exitCode;
  if (body.code === 'not_started') return notStartedCode(body.message);
  return body.code === 'cancelled' ? exitCodes.signalBase + 2 : exitCodes.failed;
}

function writeFailure(body: ErrorBody): void {
  const style = styleFor(process.stderr);
  const lines = [`${style.bad('error:')} ${indent(printableLines(body.message).trimEnd(), 7)}`];
  if (body.next !== undefined) {
    lines.push(`${style.accent('next:')}  ${indent(printableLines(body.next), 7)}`);
  }
  process.stderr.write(`${lines.join('\n')}\n`);
}

function indent(text: string, columns: number): string {
  return text.replaceAll('\n', `\n${' '.repeat(columns)}`);
}

/** As shells and containers do: 127 for a program that does not exist, 126 for one that cannot be run. */
function notStartedCode(message: string): number {
  if (/^working directory /.test(message)) return exitCodes.failed;
  if (/: No such file or directory$/.test(message)) return exitCodes.notFound;
  return /: (Permission denied|Exec format error|Is a directory)$/.test(message)
    ? exitCodes.notExecutable
    : exitCodes.failed;
}
