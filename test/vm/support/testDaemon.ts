/** A real daemon with a state directory of its own, for tests that look at it from a client's side. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connectClient, type CoppiceClient } from '../../../helper-daemon/client/client.ts';
import { CoppiceError } from '../../../protocol/errors.ts';
import { hostPaths, type DaemonMode, type HostPaths } from '../../../helper-daemon/system/paths.ts';

export const daemonProgram = path.resolve(import.meta.dirname, '../../../dist/coppiced.mjs');

export interface TestDaemon {
  readonly home: string;
  readonly paths: HostPaths;
  /** The one user beside root who may use a daemon in system mode. */
  readonly allowedUid: number;
  /** Process id of the daemon that runs now. */
  pid(): number;
  /** @param agent as this agent; absent: as the person */
  connect(name?: string, agent?: string): Promise<CoppiceClient>;
  /** kill -9, then wait until it is gone. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** QEMU processes of this daemon's machines. */
  machines(): number[];
  /** Asks it to end, as a client does, and waits until it has. */
  stop(): Promise<void>;
  /** Starts the daemon if a test left none, and destroys every workspace. */
  clean(): Promise<void>;
  /** Destroys every workspace, ends the daemon and removes its directory. */
  dispose(): Promise<void>;
}

export interface TestDaemonOptions {
  /** Builds templates in the background; without it the only machines are those that a test asks for. */
  readonly templates?: boolean;
  /** An existing directory to work in, say a small file system; made and removed by the daemon's when absent. */
  readonly home?: string;
  /** Network namespace that it lives in, machines included. */
  readonly namespace?: string;
  /** Over the variables of the test. */
  readonly env?: Readonly<Record<string, string>>;
}

export async function startTestDaemon(
  mode: DaemonMode = 'user',
  options: TestDaemonOptions = {},
): Promise<TestDaemon> {
  const home = options.home ?? mkdtempSync(path.join(os.tmpdir(), 'cop-'));
  // In system mode machines run under accounts of their own, which have to get through here.
  if (mode === 'system') chmodSync(home, 0o711);
  const paths = hostPaths(mode, { COPPICE_HOME: home });
  const allowedUid = 65_534;
  const usersFile = path.join(home, 'users');
  writeFileSync(usersFile, `${String(allowedUid)}\n`);
  const clients = new Set<CoppiceClient>();
  let child: ChildProcess | undefined;

  async function connect(name = 'test', agent?: string): Promise<CoppiceClient> {
    const deadline = Date.now() + 30_000;
    for (;;) {
      try {
        const client = await connectClient(paths.socket, {
          name,
          version: '0',
          ...(agent === undefined ? {} : { agent }),
        });
        clients.add(client);
        client.onClose(() => clients.delete(client));
        return client;
      } catch (error) {
        if (Date.now() > deadline) {
          throw new Error(`no daemon; its log:\n${log()}`, { cause: error });
        }
        await delay(20);
      }
    }
  }

  function log(): string {
    try {
      return readFileSync(paths.log, 'utf8').split('\n').slice(-20).join('\n');
    } catch {
      return '(none)';
    }
  }

  async function start(): Promise<void> {
    const program = [process.execPath, '--no-warnings', daemonProgram, `--${mode}`];
    // `ip netns exec` becomes the program: its process id is the daemon's.
    const [command = '', ...args] =
      options.namespace === undefined
        ? program
        : ['ip', 'netns', 'exec', options.namespace, ...program];
    child = spawn(command, args, {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: {
        ...process.env,
        COPPICE_HOME: home,
        COPPICE_USERS: usersFile,
        COPPICE_TEMPLATES: options.templates === true ? '1' : '0',
        // A bridge is made only where it is the test's own: never on the network of whoever runs the tests.
        ...(options.namespace === undefined ? { COPPICE_NETWORK: 'user' } : {}),
        ...options.env,
      },
    });
    const client = await connect();
    client.close();
  }

  async function kill(): Promise<void> {
    if (child === undefined || child.exitCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
    child = undefined;
  }

  async function stop(): Promise<void> {
    const client = await connect();
    const gone = child === undefined ? undefined : once(child, 'exit');
    await client.call('daemon_stop', {}).catch(() => undefined);
    await gone;
    child = undefined;
  }

  async function clean(): Promise<void> {
    if (child === undefined || child.exitCode !== null) await start();
    const client = await connect();
    for (const { workspace_id } of await client.call('workspace_list', {})) {
      // An ephemeral one may go by itself meanwhile.
      await client.call('workspace_destroy', { workspace_id }).catch((error: unknown) => {
        if (!(error instanceof CoppiceError) || error.code !== 'not_found') throw error;
      });
    }
    client.close();
  }

  await start();
  const setup = await connect();
  await setup.call('image_build', { name: 'debian-dev' });
  setup.close();

  return {
    home,
    paths,
    allowedUid,
    pid: () => child?.pid ?? -1,
    connect,
    kill,
    start,
    stop,
    machines: () => qemuProcesses(paths.runtime),
    clean,
    async dispose() {
      await clean();
      await stop();
      for (const open of clients) open.close();
      if (options.home === undefined) rmSync(home, { recursive: true, force: true });
    },
  };
}

/** Pids of QEMU processes whose sockets are below this directory. */
function qemuProcesses(runtime: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const commandLine = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        return commandLine.includes('qemu-system') && commandLine.includes(runtime);
      } catch {
        return false;
      }
    })
    .map(Number);
}

/** What is left of workspaces: directories, disks and memory, and what machines need while they run. */
export function leftovers(paths: HostPaths): string[] {
  const isId = (name: string): boolean => /^[0-9a-f]{8}-[0-9a-f]{4}-/.test(name);
  const places = [
    paths.workspaces,
    paths.runtime,
    path.join(paths.state, 'disks'),
    path.join(paths.state, 'memory'),
  ];
  return places.flatMap((directory) =>
    namesIn(directory)
      .filter(isId)
      .map((name) => path.join(directory, name)),
  );
}

function namesIn(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}
