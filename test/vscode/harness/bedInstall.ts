/**
 * Installs the test bed: the VS Code server that code-server's package carries, started without code-server
 * itself. It lives in the cache and is shared by every checkout with the same lock file.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { cacheDir } from '../../../helper-daemon/images/cacheDir.ts';
import { run } from '../../../helper-daemon/system/run.ts';

export interface Bed {
  readonly vscode: string;
  readonly serverMain: string;
}

const recipe = path.resolve(import.meta.dirname, '../bed');
const vscodePlace = 'node_modules/code-server/lib/vscode';
const npmFlags = ['--ignore-scripts', '--no-audit', '--no-fund', '--engine-strict=false'] as const;

/** Nothing a test reaches: runtimes of other tools and binaries of other platforms. */
const unused = [
  'node_modules/@github/copilot-sdk-linux-x64',
  'node_modules/@microsoft/mxc-sdk',
  'node_modules/@vscode/windows-process-tree/deps',
  'node_modules/@vscode/windows-process-tree/build',
  'node_modules/node-pty/third_party',
] as const;

/** The bed's place; installs it when it is not there yet. */
export async function ensureBed(say: (line: string) => void): Promise<Bed> {
  const lock = await readFile(path.join(recipe, 'package-lock.json'));
  const digest = createHash('sha256').update(lock).digest('hex').slice(0, 16);
  const place = path.join(cacheDir(), `vscode-bed-${digest}`);
  if (!existsSync(place)) await install(place, say);
  const vscode = path.join(place, vscodePlace);
  return { vscode, serverMain: path.join(vscode, 'out/server-main.js') };
}

async function install(place: string, say: (line: string) => void): Promise<void> {
  await mkdir(path.dirname(place), { recursive: true });
  // Beside its final place and renamed when complete: an interrupted installation is never taken for one.
  const building = await mkdtemp(`${place}.`);
  try {
    for (const file of ['package.json', 'package-lock.json']) {
      await copyFile(path.join(recipe, file), path.join(building, file));
    }
    say('Installing the VS Code test bed (about 20 s, 0.5 GB)');
    await run('npm', ['ci', ...npmFlags], { cwd: building });
    const vscode = path.join(building, vscodePlace);
    // The server's own dependencies; npm ci refuses its shrinkwrap, which misses an entry.
    await run('npm', ['install', '--omit=dev', '--no-save', ...npmFlags], { cwd: vscode });
    await prune(vscode);
    await rename(building, place).catch((error: unknown) => {
      // Another run was first: its bed is as good.
      if (!existsSync(place)) throw error;
    });
  } finally {
    await rm(building, { recursive: true, force: true });
  }
}

async function prune(vscode: string): Promise<void> {
  const searchTools = path.join(vscode, 'node_modules/@vscode/ripgrep-universal/bin');
  const others = (await readdir(searchTools)).filter((name) => name !== 'linux-x64');
  const all = [
    ...unused.map((name) => path.join(vscode, name)),
    ...others.map((name) => path.join(searchTools, name)),
  ];
  await Promise.all(all.map((name) => rm(name, { recursive: true, force: true })));
}
