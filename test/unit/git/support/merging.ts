/** Merges between repositories of this host. */
import { randomUUID } from 'node:crypto';
import { mergeRepositories, type MergeParts } from '../../../../helper-daemon/git/merge/merge.ts';
import type { OutputOf, ParsedInputOf } from '../../../../protocol/operations.ts';
import { localHost, type LocalHost } from './localHost.ts';
import type { Bed, TestRepository } from './repositories.ts';

export type MergeOptions = Partial<
  Pick<
    ParsedInputOf<'workspace_merge'>,
    'strategy' | 'commit_message' | 'include_uncommitted' | 'on_conflict' | 'preview'
  >
> & {
  /** Told of every command in the target. */
  readonly inTarget?: (argv: readonly string[]) => void | Promise<void>;
  readonly snapshots?: string[];
  /** Directory of the repositories that is named instead of their top. */
  readonly below?: string;
};

/** Every repository is at the same path in its own place, as it is in forks: here the path is the place's alone. */
export async function merge(
  bed: Bed,
  target: TestRepository,
  sources: Readonly<Record<string, TestRepository>>,
  { inTarget, snapshots = [], below = '', ...options }: MergeOptions = {},
): Promise<OutputOf<'workspace_merge'>> {
  const place = '/workspace';
  const hostOf = (name: string, repository: TestRepository, before?: MergeOptions['inTarget']) =>
    relocated(localHost(name, bed.home, before), place, repository.path);
  const targetHost = hostOf('target', target, inTarget);
  const parts: MergeParts = {
    id: randomUUID(),
    target: { host: targetHost, forCleanup: hostOf('target', target) },
    sources: Object.entries(sources).map(([label, repository], index) => ({
      label,
      shortId: `0000000${String(index)}`,
      open: () => {
        const host = hostOf(label, repository);
        return Promise.resolve({ host, forCleanup: host });
      },
    })),
    isActive: () => false,
    secure(head) {
      snapshots.push(head);
      return Promise.resolve('merge-1');
    },
    unsecure() {
      snapshots.pop();
      return Promise.resolve();
    },
    progress: () => undefined,
  };
  return await mergeRepositories(
    {
      strategy: 'sequential',
      path: place + below,
      include_uncommitted: false,
      on_conflict: 'abort',
      preview: false,
      ...options,
    },
    parts,
  );
}

/** The host with one directory seen under another path. */
function relocated(host: LocalHost, seen: string, real: string): LocalHost {
  const there = (path: string): string =>
    path === seen || path.startsWith(`${seen}/`) ? real + path.slice(seen.length) : path;
  return {
    ...host,
    run: (command) =>
      host.run({
        ...command,
        cwd: there(command.cwd),
        argv: command.argv.map(there),
        env: Object.fromEntries(
          Object.entries(command.env).map(([name, value]) => [name, there(value)]),
        ),
      }),
    stat: (path) => host.stat(there(path)),
    list: (path) => host.list(there(path)),
    makeDirectory: (path, uid) => host.makeDirectory(there(path), uid),
    remove: (path) => host.remove(there(path)),
    read: (path) => host.read(there(path)),
    write: (path, chunks, size, uid) => host.write(there(path), chunks, size, uid),
  };
}
