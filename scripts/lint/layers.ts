/**
 * Which folder may import which: the dependency rules of the design as data. A layer is the longest
 * matching key; `uses` lists layers or packages beyond its own. A new folder must be entered here before
 * anything in it passes the linter.
 */
export interface Layer {
  /** Other layers this one may import. */
  readonly uses: readonly string[];
  /** Packages and node: modules it may import; absent: any that `reservedPackages` does not keep from it. */
  readonly packages?: readonly string[];
}

const base = ['protocol', 'helper-daemon/system'] as const;

export const layers: Readonly<Record<string, Layer>> = {
  protocol: { uses: [], packages: ['zod'] },

  extension: { uses: ['protocol', 'helper-daemon/client', 'extension/manifest'] },
  'extension/manifest': { uses: [], packages: [] },

  'helper-daemon/cli': { uses: [...base, 'helper-daemon/client', 'helper-daemon/mcp'] },
  'helper-daemon/mcp': { uses: [...base, 'helper-daemon/client'] },
  'helper-daemon/client': { uses: base },

  'helper-daemon/main.ts': { uses: [...base, 'helper-daemon/daemon.ts'] },
  'helper-daemon/daemon.ts': {
    uses: [
      ...base,
      'helper-daemon/server',
      'helper-daemon/workspaces',
      'helper-daemon/engine',
      'helper-daemon/engine/qemu',
      'helper-daemon/storage',
      'helper-daemon/network',
      'helper-daemon/guest',
      'helper-daemon/images',
      'helper-daemon/store',
      'helper-daemon/snapshots',
      'helper-daemon/providers',
      'helper-daemon/teams',
      'helper-daemon/vault',
      'helper-daemon/orchestration',
      'helper-daemon/git',
      'helper-daemon/audit',
      'helper-daemon/metrics',
      'images',
    ],
  },
  'helper-daemon/server': {
    uses: [
      ...base,
      'helper-daemon/workspaces',
      'helper-daemon/snapshots',
      'helper-daemon/images',
      'helper-daemon/guest',
      'helper-daemon/store',
      'helper-daemon/teams',
      'helper-daemon/vault',
      'helper-daemon/orchestration',
      'helper-daemon/git',
      'helper-daemon/audit',
      'helper-daemon/metrics',
    ],
  },
  'helper-daemon/audit': { uses: [...base, 'helper-daemon/store'] },
  'helper-daemon/metrics': { uses: base },
  'helper-daemon/teams': {
    uses: [
      ...base,
      'helper-daemon/workspaces',
      'helper-daemon/snapshots',
      'helper-daemon/guest',
      'helper-daemon/store',
    ],
  },
  'helper-daemon/orchestration': {
    uses: [
      ...base,
      'helper-daemon/teams',
      'helper-daemon/workspaces',
      'helper-daemon/snapshots',
      'helper-daemon/guest',
      'helper-daemon/store',
    ],
  },
  'helper-daemon/git': {
    uses: [...base, 'helper-daemon/workspaces', 'helper-daemon/guest', 'helper-daemon/store'],
  },
  'helper-daemon/vault': { uses: [...base, 'helper-daemon/store'] },
  'helper-daemon/snapshots': {
    uses: [
      ...base,
      'helper-daemon/workspaces',
      'helper-daemon/engine',
      'helper-daemon/storage',
      'helper-daemon/network',
      'helper-daemon/guest',
      'helper-daemon/images',
      'helper-daemon/store',
    ],
  },
  'helper-daemon/workspaces': {
    uses: [
      ...base,
      'helper-daemon/engine',
      'helper-daemon/storage',
      'helper-daemon/network',
      'helper-daemon/guest',
      'helper-daemon/images',
      'helper-daemon/store',
    ],
  },
  'helper-daemon/engine': { uses: [...base, 'helper-daemon/guest'] },
  'helper-daemon/engine/qemu': { uses: [...base, 'helper-daemon/engine', 'helper-daemon/guest'] },
  'helper-daemon/providers': { uses: [...base, 'helper-daemon/engine', 'helper-daemon/storage'] },
  'helper-daemon/storage': { uses: base },
  'helper-daemon/network': { uses: base },
  'helper-daemon/guest': { uses: base },
  // The policies that rows hold.
  'helper-daemon/store': { uses: [...base, 'helper-daemon/network'] },
  'helper-daemon/images': { uses: [...base, 'helper-daemon/storage', 'helper-daemon/store'] },
  'helper-daemon/system': { uses: ['protocol', 'package.json'] },
  'package.json': { uses: [] },

  images: { uses: [...base, 'helper-daemon/images'] },
};

/** Packages that only some places may import, wherever else they would be allowed. */
export const reservedPackages: Readonly<Record<string, readonly string[]>> = {
  vscode: ['extension', 'test/vscode'],
  child_process: [
    'helper-daemon/system/run.ts',
    'test',
    'scripts/bootstrap.mjs',
    'scripts/prerequisites.mjs',
  ],
  execa: ['helper-daemon/system/run.ts', 'test', 'scripts/bootstrap.mjs'],
  'vscode-jsonrpc': ['helper-daemon/server', 'helper-daemon/client', 'test'],
  sqlite: ['helper-daemon/store', 'helper-daemon/system/lock.ts', 'test'],
};

/** Folders that may import every layer: tests and build scripts. */
export const freeFolders = ['test', 'scripts'] as const;

/** The longest key that is this file or a folder above it. */
export function layerOf(file: string): string | undefined {
  let best: string | undefined;
  for (const key of Object.keys(layers)) {
    if (isWithin(file, key) && key.length > (best?.length ?? 0)) best = key;
  }
  return best;
}

export function isWithin(file: string, place: string): boolean {
  return file === place || file.startsWith(`${place}/`);
}
