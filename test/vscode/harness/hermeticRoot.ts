/** A throw-away world for one VS Code: its data, its HOME, its Coppice state. Nothing outside is touched. */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { connectClient } from '../../../helper-daemon/client/client.ts';
import { cacheDir } from '../../../helper-daemon/images/cacheDir.ts';
import { hostPaths } from '../../../helper-daemon/system/paths.ts';

export interface HermeticRoot {
  readonly folder: string;
  /** The folder VS Code opens. */
  readonly workspace: string;
  readonly env: NodeJS.ProcessEnv;
  /** The daemon's socket in this world. */
  readonly socketPath: string;
  readonly daemonLog: string;
  /**
   * Stops the daemon with its machines and deletes everything.
   * @returns what was still running and had to be killed: a leak
   */
  dispose(): Promise<readonly string[]>;
}

const userSettings = {
  'workbench.startupEditor': 'none',
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
  'workbench.tips.enabled': false,
  'workbench.reduceMotion': 'on',
  'telemetry.telemetryLevel': 'off',
  'extensions.autoCheckUpdates': false,
  'extensions.autoUpdate': false,
  'extensions.ignoreRecommendations': true,
  'security.workspace.trust.enabled': false,
  'git.enabled': false,
  'files.autoSave': 'off',
  // The DOM renderer: what a terminal shows can then be read from the page.
  'terminal.integrated.gpuAcceleration': 'off',
};

export async function hermeticRoot(): Promise<HermeticRoot> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'coppice-vscode-'));
  const at = (name: string): string => path.join(folder, name);
  for (const name of ['ud/User', 'ext', 'workspace', 'home', 'chromium', 'coppice']) {
    await mkdir(at(name), { recursive: true });
  }
  await writeFile(at('ud/User/settings.json'), JSON.stringify(userSettings, null, 2));
  await writeFile(at('workspace/notes.txt'), 'A folder to open.\n');
  const env = hermeticEnvironment(folder);
  const paths = hostPaths('user', env);
  return {
    folder,
    workspace: at('workspace'),
    env,
    socketPath: paths.socket,
    daemonLog: paths.log,
    async dispose() {
      await stopDaemon(paths.socket);
      const leaked = await endLeftovers(folder);
      if (process.env['COPPICE_KEEP_TEST_ROOT'] === undefined) {
        await rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
        await rm(paths.runtime, { recursive: true, force: true });
      }
      return leaked;
    },
  };
}

function hermeticEnvironment(folder: string): NodeJS.ProcessEnv {
  const home = path.join(folder, 'home');
  // Also lets tests run inside a terminal of VS Code.
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(VSCODE_|ELECTRON_|COPPICE_SOCKET$|NODE_OPTIONS$|VITEST)/.test(name),
  );
  return {
    ...Object.fromEntries(inherited),
    HOME: home,
    XDG_CONFIG_HOME: path.join(home, '.config'),
    XDG_DATA_HOME: path.join(home, '.local/share'),
    XDG_CACHE_HOME: path.join(home, '.cache'),
    XDG_STATE_HOME: path.join(home, '.local/state'),
    COPPICE_HOME: path.join(folder, 'coppice'),
    // Images and kernels are built once per machine, not once per test.
    COPPICE_CACHE: cacheDir(),
  };
}

async function stopDaemon(socketPath: string): Promise<void> {
  if (!existsSync(socketPath)) return;
  const identity = { name: 'test-cleanup', version: '0' };
  const client = await connectClient(socketPath, identity).catch(() => undefined);
  if (client === undefined) return;
  await client.call('daemon_stop', { stop_machines: true }).catch(() => undefined);
  client.close();
}

/** Processes that name this world in their arguments or environment must be gone soon; else they are killed. */
async function endLeftovers(folder: string): Promise<readonly string[]> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const left = await processesOf(folder);
    if (left.size === 0) return [];
    if (Date.now() > deadline) {
      for (const pid of left.keys()) process.kill(pid, 'SIGKILL');
      return [...left.values()];
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function processesOf(folder: string): Promise<ReadonlyMap<number, string>> {
  const found = new Map<number, string>();
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    const read = (file: string): Promise<string> =>
      readFile(`/proc/${name}/${file}`, 'utf8').catch(() => '');
    const [command, environment] = await Promise.all([read('cmdline'), read('environ')]);
    if (command.includes(folder) || environment.includes(folder)) {
      found.set(Number(name), command.replaceAll('\0', ' ').slice(0, 300));
    }
  }
  return found;
}
