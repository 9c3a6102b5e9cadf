/** Finding the user-mode daemon, and starting it when nobody has. */
import { mkdir } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as delay } from 'node:timers/promises';
import { CoppiceError } from '../../protocol/errors.ts';
import { hostPaths } from '../system/paths.ts';
import { spawnDetached } from '../system/run.ts';
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
}

/**
 * Connects to the daemon and starts it first when that is needed and allowed.
 * @throws CoppiceError `daemon_unavailable`, `protocol_mismatch`, `permission_denied`
 */
export async function connectDaemon(
  identity: ClientIdentity,
  options: ConnectOptions = {},
): Promise<CoppiceClient> {
  const explicit = options.socketPath ?? process.env['COPPICE_SOCKET'];
  const socketPath = explicit ?? hostPaths('user').socket;
  try {
    return await connectClient(socketPath, identity);
  } catch (error) {
    const mayStart = explicit === undefined && options.start !== false;
    if (!mayStart || !isAbsent(error)) throw error;
  }
  await startDaemon(options);
  return await waitForDaemon(socketPath, identity, options.deadline ?? 20_000);
}

function isAbsent(error: unknown): boolean {
  return error instanceof CoppiceError && error.code === 'daemon_unavailable';
}

async function startDaemon(options: ConnectOptions): Promise<void> {
  const bundle = options.daemonBundle ?? siblingBundle();
  if (!existsSync(bundle)) {
    throw new CoppiceError({
      code: 'daemon_unavailable',
      message: `The daemon's program ${bundle} does not exist.`,
      next: 'Build it with npm run build.',
    });
  }
  await mkdir(hostPaths('user').state, { recursive: true, mode: 0o700 });
  spawnDetached(options.node ?? process.execPath, ['--no-warnings', bundle, '--user'], {
    cwd: '/',
  });
}

function siblingBundle(): string {
  return path.join(path.dirname(fileURLToPath(import.meta.url)), 'coppiced.mjs');
}

/** Several clients may start a daemon at once: the lock lets one win, and all of them find its socket. */
async function waitForDaemon(
  socketPath: string,
  identity: ClientIdentity,
  deadline: number,
): Promise<CoppiceClient> {
  const end = Date.now() + deadline;
  for (;;) {
    try {
      return await connectClient(socketPath, identity);
    } catch (error) {
      if (!isAbsent(error)) throw error;
      if (Date.now() > end) {
        throw new CoppiceError({
          code: 'daemon_unavailable',
          message: `The Coppice daemon was started but does not answer at ${socketPath}.`,
          next: `Look at its log: ${hostPaths('user').log}`,
        });
      }
    }
    await delay(25);
  }
}
