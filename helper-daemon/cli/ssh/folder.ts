/**
 * Where SSH keeps its files: below the state of the user who calls, also where a system daemon serves them.
 * Keys lie in folders named by workspace id, so that a new machine of an old name has new ones.
 */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { CoppiceError } from '../../../protocol/errors.ts';
import { makeDirectory } from '../../system/directory.ts';
import type { StateLock } from '../../system/lock.ts';
import { hostPaths } from '../../system/paths.ts';

export interface SshFolder {
  readonly root: string;
  /** For `ssh -F`, and for the Include line. */
  readonly config: string;
  readonly knownHosts: string;
  /** Opens every machine of this user: for hosts that the config does not name yet. */
  readonly userKey: string;
  keysOf(workspaceId: string): WorkspaceKeys;
}

export interface WorkspaceKeys {
  readonly directory: string;
  readonly host: string;
  readonly client: string;
}

export function sshFolder(state: string = hostPaths('user').state): SshFolder {
  const root = path.join(state, 'ssh');
  return {
    root,
    config: path.join(root, 'config'),
    knownHosts: path.join(root, 'known_hosts'),
    userKey: path.join(root, 'user_ed25519'),
    keysOf(workspaceId) {
      const directory = path.join(root, workspaceId);
      return {
        directory,
        host: path.join(directory, 'host_ed25519'),
        client: path.join(directory, 'client_ed25519'),
      };
    },
  };
}

/** Far longer than any change takes. */
const patienceMs = 20_000;

/**
 * Makes changes in the folder one after another: many connections may begin at once.
 * @throws CoppiceError `busy` when another process keeps the lock
 */
export async function changing<T>(folder: SshFolder, change: () => T | Promise<T>): Promise<T> {
  await mkdir(folder.root, { recursive: true, mode: 0o700 });
  await makeDirectory(folder.root, 0o700);
  const lock = await lockFile(path.join(folder.root, 'lock.db'));
  try {
    return await change();
  } finally {
    lock.release();
  }
}

async function lockFile(file: string): Promise<StateLock> {
  // Loaded only now: most connections change nothing and should not pay for a database.
  const { lockState } = await import('../../system/lock.ts');
  const end = Date.now() + patienceMs;
  for (;;) {
    try {
      return lockState(file);
    } catch (error) {
      if (Date.now() > end) throw locked(file, error);
      await delay(5 + Math.random() * 10);
    }
  }
}

function locked(file: string, cause: unknown): CoppiceError {
  return new CoppiceError(
    {
      code: 'busy',
      message: `The lock ${file} cannot be had.`,
      next: 'Another coppice may be changing the SSH settings, or the directory may not be writable.',
      details: { lock: file },
    },
    { cause },
  );
}
