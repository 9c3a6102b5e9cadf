/** Finding the user-mode daemon, and starting it when nobody has. */
import { existsSync } from 'node:fs';
import { mkdir, open, readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as delay } from 'node:timers/promises';
import { CoppiceError } from '../../protocol/errors.ts';
import { hostPaths, userSocket } from '../system/paths.ts';
import type { DetachedProcess } from '../system/run.ts';
import { connectClient, type ClientIdentity, type CoppiceClient } from './client.ts';

export interface ConnectOptions {
  /** Default: COPPICE_SOCKET, else the user-mode daemon's socket. */
  readonly socketPath?: string;
  /** Start the daemon when it is not running; default true. Never for an explicit socket. */
  readonly start?: boolean;
  /** Program that runs the daemon; default: the Node that runs this. */
  readonly node?: string;
  /** The daemon's bundle; default: beside the running bundle. */
  readonly daemonBundle?: string;
  /** Milliseconds to wait for a daemon that was just started. */
  readonly deadline?: number;
  /** Called when the daemon is not running and is being started. */
  readonly onStart?: () => void;
}

/**
 * Where to look for the daemon, and whether somebody chose that place: by name, or by running a system
 * daemon that serves this user.
 */
export function daemonSocket(options: Pick<ConnectOptions, 'socketPath'> = {}): {
  readonly path: string;
  readonly chosen: boolean;
} {
  const chosen = options.socketPath ?? process.env['COPPICE_SOCKET'];
  if (chosen !== undefined && chosen !== '') return { path: chosen, chosen: true };
  const system = (process.env['COPPICE_HOME'] ?? '') === '' ? systemSocket() : undefined;
  if (system !== undefined) return { path: system, chosen: true };
  return { path: hostPaths('user').socket, chosen: false };
}

function systemSocket(): string | undefined {
  const paths = hostPaths('system');
  const uid = process.getuid?.() ?? 0;
  const socket = uid === 0 ? paths.socket : userSocket(paths, uid);
  return existsSync(socket) ? socket : undefined;
}

/**
 * Connects to the daemon and starts it first when that is needed and allowed.
 * @throws CoppiceError `daemon_unavailable`, `protocol_mismatch`, `permission_denied`
 */
export async function connectDaemon(
  identity: ClientIdentity,
  options: ConnectOptions = {},
): Promise<CoppiceClient> {
  const socket = daemonSocket(options);
  try {
    return await connectClient(socket.path, identity);
  } catch (error) {
    const mayStart = !socket.chosen && options.start !== false;
    if (!mayStart || !isAbsent(error)) throw error;
  }
  options.onStart?.();
  const started = await startDaemon(options);
  return await waitForDaemon(socket.path, identity, started, options.deadline ?? 20_000);
}

export function isUnavailable(error: unknown): boolean {
  return error instanceof CoppiceError && error.code === 'daemon_unavailable';
}

/** A daemon that hangs still holds its state: a second one would not help. */
function isAbsent(error: unknown): boolean {
  return isUnavailable(error) && (error as CoppiceError).details?.['stuck'] !== true;
}

interface StartedDaemon {
  /** Set when it has ended, with its exit code. */
  ended?: { readonly code: number | null };
  readonly outputFile: string;
}

async function startDaemon(options: ConnectOptions): Promise<StartedDaemon> {
  const bundle = options.daemonBundle ?? siblingBundle();
  if (!existsSync(bundle)) {
    throw new CoppiceError({
      code: 'daemon_unavailable',
      message: `The daemon's program ${bundle} does not exist.`,
      next: 'Build it with npm run build.',
    });
  }
  const paths = hostPaths('user');
  await mkdir(paths.state, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
    throw new CoppiceError(
      {
        code: 'permission_denied',
        message: `The state directory ${paths.state} cannot be created: ${error instanceof Error ? error.message : String(error)}`,
        next: 'Make it writable, or set COPPICE_HOME to a directory that is.',
      },
      { cause: error },
    );
  });
  // What it says before its own log is open, for example that the Node is too old.
  const outputFile = path.join(paths.state, 'coppiced.start.log');
  const output = await open(outputFile, 'a', 0o600);
  try {
    await output.truncate();
    // Loaded only now: most calls find a running daemon and should not pay for a process library.
    const { spawnDetached } = await import('../system/run.ts');
    const child: DetachedProcess = spawnDetached(
      options.node ?? process.execPath,
      // A small young generation: the daemon makes little garbage, and 10 MiB less is resident.
      ['--no-warnings', '--no-concurrent-sparkplug', '--max-semi-space-size=2', bundle, '--user'],
      { cwd: '/', output: output.fd },
    );
    const started: StartedDaemon = { outputFile };
    void child.exited.then(({ code }) => {
      started.ended = { code };
    });
    return started;
  } finally {
    await output.close();
  }
}

/** From the bundle dist/coppice.mjs: its neighbour. From the sources: the bundle of the checkout. */
export function siblingBundle(): string {
  const here = path.dirname(fileURLToPath(import.meta.url));
  const beside = path.join(here, 'coppiced.mjs');
  const ofCheckout = path.join(here, '..', '..', 'dist', 'coppiced.mjs');
  return !existsSync(beside) && existsSync(ofCheckout) ? ofCheckout : beside;
}

/** A loser of a race for the state directory ends at once; the winner's socket appears within this time. */
const graceAfterExit = 3000;

/** Several clients may start a daemon at once: the lock lets one win, and all of them find its socket. */
async function waitForDaemon(
  socketPath: string,
  identity: ClientIdentity,
  started: StartedDaemon,
  deadline: number,
): Promise<CoppiceClient> {
  let end = Date.now() + deadline;
  let seenExit = false;
  for (;;) {
    try {
      return await connectClient(socketPath, identity);
    } catch (error) {
      if (!isUnavailable(error)) throw error;
    }
    if (started.ended !== undefined && !seenExit) {
      seenExit = true;
      end = Math.min(end, Date.now() + graceAfterExit);
    }
    if (Date.now() > end) throw await startFailed(socketPath, started);
    await delay(10);
  }
}

async function startFailed(socketPath: string, started: StartedDaemon): Promise<CoppiceError> {
  const { log } = hostPaths('user');
  const said = (await readFile(started.outputFile, 'utf8').catch(() => '')).trim();
  const tail = said.split('\n').slice(-12).join('\n');
  const what =
    started.ended === undefined
      ? `The Coppice daemon was started but does not answer at ${socketPath}.`
      : `The Coppice daemon ended as soon as it was started (exit code ${String(started.ended.code)}).`;
  return new CoppiceError({
    code: 'daemon_unavailable',
    message: tail === '' ? what : `${what} It said:\n${tail}`,
    next: `Run coppice doctor, or look at the log: ${log}`,
    details: { log, output: started.outputFile },
  });
}
