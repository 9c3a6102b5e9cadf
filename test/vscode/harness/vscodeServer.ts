/** Starts the bed's VS Code server and installs extensions into it. */
import { execFile, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Bed } from './bedInstall.ts';
import type { HermeticRoot } from './hermeticRoot.ts';

export interface VscodeServer {
  /** host:port; a `vscode-remote` URI must name exactly this. */
  readonly authority: string;
  readonly url: string;
  readonly logFile: string;
  stop(): Promise<void>;
}

function folders(root: HermeticRoot): readonly string[] {
  const at = (name: string): string => path.join(root.folder, name);
  return [
    ...['--server-data-dir', at('sd'), '--user-data-dir', at('ud'), '--extensions-dir', at('ext')],
    ...['--accept-server-license-terms', '--telemetry-level', 'off'],
  ];
}

export async function installVsix(bed: Bed, root: HermeticRoot, vsix: string): Promise<void> {
  const args = [bed.serverMain, ...folders(root), '--install-extension', vsix, '--force'];
  const { stdout } = await promisify(execFile)(process.execPath, args, { env: root.env });
  if (!stdout.includes('successfully installed')) throw new Error(`Not installed: ${stdout}`);
}

export interface VscodeServerOptions {
  /** Lets the server run a mocha suite, with these variables. */
  readonly suiteEnv?: Readonly<Record<string, string>>;
}

export async function startVscodeServer(
  bed: Bed,
  root: HermeticRoot,
  { suiteEnv }: VscodeServerOptions = {},
): Promise<VscodeServer> {
  const logFile = path.join(root.folder, 'server.log');
  const log = openSync(logFile, 'w');
  const args = [
    bed.serverMain,
    ...['--host', '127.0.0.1', '--port', '0', '--without-connection-token'],
    // Without it a built VS Code ignores the page's request to run a suite; with it no notification pops up.
    ...(suiteEnv === undefined ? [] : ['--enable-smoke-test-driver']),
    ...['--disable-workspace-trust', '--reconnection-grace-time', '5'],
    ...folders(root),
  ];
  const child = spawn(process.execPath, args, {
    env: { ...root.env, ...suiteEnv },
    stdio: ['ignore', log, log],
    // A process group of its own, ended as one: the extension host outlives a signal to the server alone.
    detached: true,
  });
  closeSync(log);
  const ended = (): boolean => child.exitCode !== null || child.signalCode !== null;

  function signal(name: NodeJS.Signals): void {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, name);
    } catch {
      // Gone already.
    }
  }
  async function stop(): Promise<void> {
    signal('SIGTERM');
    for (let tries = 0; tries < 20 && !ended(); tries += 1) await delay(100);
    signal('SIGKILL');
  }

  for (let tries = 0; ; tries += 1) {
    const text = await readFile(logFile, 'utf8');
    const port = /Extension host agent listening on (\d+)/.exec(text)?.[1];
    if (port !== undefined) {
      const authority = `127.0.0.1:${port}`;
      return { authority, url: `http://${authority}/`, logFile, stop };
    }
    if (ended() || tries > 600) {
      await stop();
      throw new Error(`The VS Code server did not start:\n${text}`);
    }
    await delay(50);
  }
}
