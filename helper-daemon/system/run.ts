/**
 * The only place where Coppice starts processes. Arguments are arrays; nothing ever goes through a shell
 * on the host.
 */
import { spawn } from 'node:child_process';
import { PassThrough, type Duplex, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { execa } from 'execa';
import { CoppiceError } from '../../protocol/errors.ts';

export interface RunOptions {
  readonly cwd?: string;
  /** Added to the environment of this process; undefined takes a name away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly input?: string;
  readonly signal?: AbortSignal;
  /** Milliseconds; the process is killed when they are over. */
  readonly timeout?: number;
  /** Called for each line of stdout and stderr while the command runs. */
  readonly onLine?: (line: string) => void;
  /**
   * For commands that start others (make, cargo, mmdebstrap): all of them form a process group that a cancel
   * reaches as a whole, with time to clean up. Not together with `timeout`.
   */
  readonly group?: boolean;
}

export interface RunResult {
  readonly stdout: string;
  readonly stderr: string;
}

/** Output kept of one command; enough for any tool used here, small enough to bound the daemon. */
const outputCap = 16 * 1024 * 1024;

/**
 * Runs a command to its end.
 * @throws CoppiceError `command_failed` with the tail of its stderr, or `prerequisite_missing` when the
 * program does not exist, or `cancelled`.
 */
export async function run(
  file: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const child = execa(file, args, {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { LC_ALL: 'C', ...options.env },
    ...(options.input === undefined ? { stdin: 'ignore' as const } : { input: options.input }),
    ...(options.signal === undefined || options.group === true
      ? {}
      : { cancelSignal: options.signal }),
    ...(options.timeout === undefined ? {} : { timeout: options.timeout }),
    ...(options.group === true ? { detached: true } : {}),
    maxBuffer: outputCap,
    reject: false,
    all: true,
  });
  const release = options.group === true ? endGroupOn(options.signal, child.pid) : undefined;
  if (options.onLine !== undefined) {
    void forwardLines(child.iterable({ from: 'all' }), options.onLine);
  }
  const result = await child;
  release?.();
  if (options.group === true && options.signal?.aborted === true) {
    throw commandError(file, args, { isCanceled: true, timedOut: false });
  }
  if (result.failed) throw commandError(file, args, result);
  return { stdout: result.stdout, stderr: result.stderr };
}

/** How long a group may take to clean up after itself. */
const groupGraceMs = 30_000;

/** Ends a process group when `signal` fires or this process exits; returns what stops doing so. */
function endGroupOn(signal: AbortSignal | undefined, pid: number | undefined): () => void {
  if (pid === undefined) return () => undefined;
  let impatient: NodeJS.Timeout | undefined;
  const send = (name: NodeJS.Signals): void => {
    try {
      process.kill(-pid, name);
    } catch {
      // Nobody of the group is left.
    }
  };
  const onAbort = (): void => {
    send('SIGTERM');
    impatient = setTimeout(() => send('SIGKILL'), groupGraceMs);
  };
  const onExit = (): void => send('SIGTERM');
  if (signal?.aborted === true) onAbort();
  signal?.addEventListener('abort', onAbort, { once: true });
  process.once('exit', onExit);
  return () => {
    clearTimeout(impatient);
    signal?.removeEventListener('abort', onAbort);
    process.off('exit', onExit);
  };
}

async function forwardLines(
  lines: AsyncIterable<unknown>,
  onLine: (line: string) => void,
): Promise<void> {
  try {
    for await (const line of lines) onLine(String(line));
  } catch {
    // The failure is reported by the awaited result.
  }
}

function commandError(
  file: string,
  args: readonly string[],
  result: {
    readonly code?: string | undefined;
    readonly isCanceled: boolean;
    readonly timedOut: boolean;
    readonly exitCode?: number | undefined;
    readonly signal?: string | undefined;
    readonly stderr?: string | undefined;
    readonly stdout?: string | undefined;
  },
): CoppiceError {
  if (result.code === 'ENOENT') {
    return new CoppiceError({
      code: 'prerequisite_missing',
      message: `The program ${file} is not installed or not on PATH.`,
      next: 'Run coppice doctor: it names the package to install.',
      details: { program: file },
    });
  }
  if (result.isCanceled) {
    return new CoppiceError({ code: 'cancelled', message: `${file} was cancelled.` });
  }
  const ended = result.timedOut
    ? 'ran into its time limit'
    : result.signal === undefined
      ? `ended with exit code ${String(result.exitCode)}`
      : `was ended by ${result.signal}`;
  const text = result.stderr?.trim() || result.stdout?.trim() || '';
  const tail = text.split('\n').slice(-15).join('\n');
  return new CoppiceError({
    code: 'command_failed',
    message: `${[file, ...args].join(' ').slice(0, 400)} ${ended}${tail === '' ? '.' : `:\n${tail}`}`,
    details: { program: file, exitCode: result.exitCode ?? null },
  });
}

export interface Filter {
  /** Standard output; it fails with the command's error when the command fails. */
  readonly output: Readable;
}

/** Runs a command between two streams, for example a decompressor. Ending `output` early ends the command. */
export function runFilter(
  file: string,
  args: readonly string[],
  input: Readable,
  options: Pick<RunOptions, 'signal'> = {},
): Filter {
  const child = execa(file, args, {
    env: { LC_ALL: 'C' },
    stdin: 'pipe',
    buffer: { stdout: false },
    ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
    reject: false,
  });
  const output = new PassThrough();
  // A decompressor that stops early closes its stdin; its exit code tells whether that was a failure.
  pipeline(input, child.stdin).catch((error: unknown) => {
    if (input.errored !== null) output.destroy(error as Error);
  });
  child.stdout.pipe(output, { end: false });
  output.once('close', () => {
    child.kill();
    input.destroy();
  });
  void child.then((result) => {
    if (result.failed) output.destroy(commandError(file, args, result));
    else output.end();
  });
  return { output };
}

export interface DetachedOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** False: the process sees nothing of our own environment but PATH. */
  readonly inheritEnv?: boolean;
  /** Open file descriptors for stdout and stderr; default /dev/null. */
  readonly output?: number;
  /** Open file descriptors that the process gets as 3, 4, … */
  readonly inherit?: readonly number[];
}

export interface DetachedProcess {
  readonly pid: number;
  /** Resolves with what ended it; also when it could not be started. */
  readonly exited: Promise<{ readonly code: number | null; readonly signal: string | null }>;
}

/**
 * Starts a process in a session of its own that outlives this one.
 * @throws CoppiceError `prerequisite_missing` when the program does not exist
 */
export function spawnDetached(
  file: string,
  args: readonly string[],
  options: DetachedOptions = {},
): DetachedProcess {
  const output = options.output ?? 'ignore';
  const child = spawn(file, args, {
    detached: true,
    stdio: ['ignore', output, output, ...(options.inherit ?? [])],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: {
      ...(options.inheritEnv === false ? { PATH: process.env['PATH'], LC_ALL: 'C' } : process.env),
      ...options.env,
    },
  });
  const exited = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
    child.once('error', () => resolve({ code: 127, signal: null }));
  });
  child.unref();
  if (child.pid === undefined) throw notStarted(file);
  return { pid: child.pid, exited };
}

/** The descriptor that a bound process has its socket at. */
export const boundSocket = 3;

export interface BoundProcess {
  readonly pid: number;
  /** Its other end is descriptor 3 of the process. */
  readonly socket: Duplex;
  /** Resolves with the end of what it wrote to stderr; the socket may end earlier or later. */
  readonly exited: Promise<{ readonly code: number | null; readonly stderr: string }>;
  /** Closes the socket and waits for the process to end of that; one that does not is killed. */
  end(): Promise<void>;
}

const stderrCap = 4096;
const boundGraceMs = 2000;

/**
 * Starts a process that lives as long as its socket to us: the program must end when that is closed, so that
 * none is left over however this process ends.
 * @throws CoppiceError `prerequisite_missing` when the program does not exist
 */
export function spawnBound(file: string, args: readonly string[]): BoundProcess {
  const child = spawn(file, args, {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], LC_ALL: 'C' },
  });
  let stderr = '';
  const exited = new Promise<{ code: number | null; stderr: string }>((resolve) => {
    child.once('close', (code) => resolve({ code, stderr }));
    child.once('error', () => resolve({ code: 127, stderr }));
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-stderrCap);
  });
  const socket = child.stdio[boundSocket] as Duplex | undefined;
  if (child.pid === undefined || socket === undefined) throw notStarted(file);
  return {
    pid: child.pid,
    socket,
    exited,
    async end() {
      socket.destroy();
      const impatient = setTimeout(() => child.kill('SIGKILL'), boundGraceMs);
      await exited;
      clearTimeout(impatient);
    },
  };
}

function notStarted(file: string): CoppiceError {
  return new CoppiceError({
    code: 'prerequisite_missing',
    message: `The program ${file} could not be started.`,
    next: 'Run coppice doctor: it names the package to install.',
    details: { program: file },
  });
}

export interface ForegroundProcess {
  /** Resolves with what ended it. */
  readonly exited: Promise<{ readonly code: number | null; readonly signal: string | null }>;
  kill(signal: NodeJS.Signals): void;
}

/**
 * Starts a command that has our terminal, or whatever our standard streams are.
 * @throws CoppiceError `prerequisite_missing` when the program does not exist
 */
export function spawnInForeground(file: string, args: readonly string[]): ForegroundProcess {
  const child = spawn(file, args, { stdio: 'inherit' });
  const exited = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
    child.once('error', () => resolve({ code: 127, signal: null }));
  });
  if (child.pid === undefined) {
    throw new CoppiceError({
      code: 'prerequisite_missing',
      message: `The program ${file} could not be started: it is not installed, or not on PATH.`,
      next: `Install it with the package manager of this host.`,
      details: { program: file },
    });
  }
  return { exited, kill: (signal) => void child.kill(signal) };
}
