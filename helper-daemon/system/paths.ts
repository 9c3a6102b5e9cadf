/**
 * Where Coppice keeps things on the host. COPPICE_HOME moves everything but the build cache, so that a
 * test or a second installation is wholly separate.
 */
import { createHash } from 'node:crypto';
import os from 'node:os';
import path from 'node:path';

export type DaemonMode = 'user' | 'system';

export interface HostPaths {
  readonly mode: DaemonMode;
  /** Disks, images, the database, logs. */
  readonly state: string;
  /** Sockets and pid files; gone after a reboot. */
  readonly runtime: string;
  readonly socket: string;
  readonly database: string;
  readonly lock: string;
  readonly log: string;
  readonly images: string;
  readonly workspaces: string;
}

/** Unix socket paths end at 107 bytes; the longest one here is <runtime>/<uuid>/agent.sock. */
const longestRuntime = 107 - '/01234567-89ab-cdef-0123-456789abcdef/console.sock'.length;

export function hostPaths(mode: DaemonMode, env: NodeJS.ProcessEnv = process.env): HostPaths {
  const { state, runtime } = mode === 'system' ? systemRoots(env) : userRoots(env);
  return {
    mode,
    state,
    runtime,
    socket: path.join(runtime, 'coppice.sock'),
    database: path.join(state, 'coppice.db'),
    lock: path.join(state, 'lock.db'),
    log: path.join(state, 'coppiced.log'),
    images: path.join(state, 'images'),
    workspaces: path.join(state, 'workspaces'),
  };
}

function systemRoots(env: NodeJS.ProcessEnv): { state: string; runtime: string } {
  const home = env['COPPICE_HOME'];
  if (home !== undefined && home !== '') return rootsBelow(path.resolve(home));
  return { state: '/var/lib/coppice', runtime: '/run/coppice' };
}

function userRoots(env: NodeJS.ProcessEnv): { state: string; runtime: string } {
  const home = env['COPPICE_HOME'];
  if (home !== undefined && home !== '') return rootsBelow(path.resolve(home));
  const stateHome = env['XDG_STATE_HOME'] || path.join(os.homedir(), '.local', 'state');
  const state = path.join(stateHome, 'coppice');
  const runtimeHome = env['XDG_RUNTIME_DIR'];
  if (runtimeHome !== undefined && runtimeHome !== '') {
    const runtime = path.join(runtimeHome, 'coppice');
    if (runtime.length <= longestRuntime) return { state, runtime };
  }
  return { state, runtime: shortRuntime(state) };
}

function rootsBelow(home: string): { state: string; runtime: string } {
  const runtime = path.join(home, 'run');
  return {
    state: path.join(home, 'state'),
    runtime: runtime.length <= longestRuntime ? runtime : shortRuntime(home),
  };
}

/** A private directory under /tmp whose name is fixed by the user and the state it belongs to. */
function shortRuntime(key: string): string {
  const digest = createHash('sha256').update(key).digest('hex').slice(0, 12);
  return path.join('/tmp', `coppice-${String(process.getuid?.() ?? 0)}-${digest}`);
}

/**
 * In system mode machines run under accounts of their own: they may pass through Coppice's directories to
 * reach what is theirs, but list nothing.
 */
export function directoryMode(mode: DaemonMode): number {
  return mode === 'system' ? 0o711 : 0o700;
}

/** The socket of one user in system mode. */
export function userSocket(paths: HostPaths, uid: number): string {
  return path.join(paths.runtime, `${String(uid)}.sock`);
}
