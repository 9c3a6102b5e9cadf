/**
 * Recognises a process beyond doubt: pid, start time and program together. A pid alone may belong to
 * somebody else by the time it is used.
 */
import fs from 'node:fs';
import fsp from 'node:fs/promises';

export interface ProcessIdentity {
  readonly pid: number;
  readonly startTime: string;
  readonly executable: string;
}

export interface ProcessStat {
  readonly state: string;
  readonly startTime: string;
  /** User and system time in clock ticks. */
  readonly cpuTicks: number;
  readonly rssPages: number;
}

/** undefined when there is no such process. */
export function readProcessStat(pid: number): ProcessStat | undefined {
  let text: string;
  try {
    text = fs.readFileSync(`/proc/${String(pid)}/stat`, 'latin1');
  } catch {
    return undefined;
  }
  return parseProcessStat(text);
}

/** The command name may itself hold blanks and parentheses, so fields count from the last one. */
export function parseProcessStat(text: string): ProcessStat | undefined {
  const rest = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const state = rest[0];
  const startTime = rest[19];
  if (state === undefined || startTime === undefined) return undefined;
  return {
    state,
    startTime,
    cpuTicks: Number(rest[11]) + Number(rest[12]),
    rssPages: Number(rest[21]),
  };
}

/** True while this very process exists and has not exited (a zombie has). */
export function isAlive(identity: Pick<ProcessIdentity, 'pid' | 'startTime'>): boolean {
  const stat = readProcessStat(identity.pid);
  return (
    stat !== undefined &&
    stat.startTime === identity.startTime &&
    stat.state !== 'Z' &&
    stat.state !== 'X'
  );
}

/**
 * Sends a signal to exactly this process. False when it is gone or is not the one recorded: nothing was
 * signalled then. The kernel hands out a pid again only after all others, so between the look and the
 * signal it cannot change hands.
 */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isAlive(identity) || !runsProgram(identity)) return false;
  try {
    process.kill(identity.pid, signal);
    return true;
  } catch {
    return false;
  }
}

/** Between fork and the last exec (setpriv) the program is another one; the command line is not. */
function runsProgram(identity: ProcessIdentity): boolean {
  const program = executableOf(identity.pid);
  if (program === undefined || program === identity.executable) return true;
  return commandLine(identity.pid).some((word) => word === identity.executable);
}

/** Resolved path of the running program, also when the file has been replaced since. */
export function executableOf(pid: number): string | undefined {
  try {
    return fs.readlinkSync(`/proc/${String(pid)}/exe`).replace(/ \(deleted\)$/, '');
  } catch {
    return undefined;
  }
}

export function commandLine(pid: number): string[] {
  try {
    return fs.readFileSync(`/proc/${String(pid)}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}

/**
 * Waits until the process is gone; false when it still exists after `timeoutMs`. The look is every few
 * milliseconds at first: what is asked to end mostly does so at once.
 */
export async function waitUntilGone(
  identity: Pick<ProcessIdentity, 'pid' | 'startTime'>,
  timeoutMs: number,
): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  for (let pause = 1; isAlive(identity); pause = Math.min(pause * 2, 50)) {
    if (performance.now() >= deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
  return true;
}

/** Pids whose command line holds all of `words`; only processes this user may look at. */
export async function findProcesses(words: readonly string[]): Promise<number[]> {
  const found: number[] = [];
  for (const entry of await fsp.readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const line = commandLine(Number(entry));
    if (words.every((word) => line.includes(word))) found.push(Number(entry));
  }
  return found;
}
