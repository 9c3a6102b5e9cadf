import { limits } from '../../protocol/limits.ts';
import type { OutputOf, ParsedInputOf } from '../../protocol/operations.ts';
import type { PathChange } from '../../protocol/operations/snapshotModel.ts';
import { toCoppiceError } from '../guest/errors.ts';
import type { GuestClients } from '../guest/guestLink.ts';
import { FileKind, type ManifestEntry } from '../guest/gen/coppice/guest/v1/guest_pb.js';
import type { WorkspaceRecord } from '../store/workspaceStore.ts';
import { freezeWorkspace } from '../workspaces/freeze.ts';
import { resolveWorkspace } from '../workspaces/resolve.ts';
import type { WorkspaceServices } from '../workspaces/services.ts';
import { findSnapshot } from './find.ts';
import {
  differenceOf,
  manifest,
  sameMetadata,
  sideBySide,
  type Both,
  type Pair,
} from './manifest.ts';
import type { Probes } from './probes.ts';

/** Digests asked for in one call. */
const batch = 256;

type Look = <T>(work: (clients: GuestClients) => Promise<T>) => Promise<T>;

/** @throws CoppiceError see snapshot_diff in protocol/ */
export async function diffSnapshots(
  services: WorkspaceServices,
  probes: Probes,
  input: ParsedInputOf<'snapshot_diff'>,
  options: { readonly signal: AbortSignal; readonly progress: (message: string) => void },
): Promise<OutputOf<'snapshot_diff'>> {
  const workspace = resolveWorkspace(services.store, input.workspace_id);
  const from = findSnapshot(services, workspace, input.from);
  const to =
    input.to === undefined || input.to === 'head'
      ? undefined
      : findSnapshot(services, workspace, input.to);
  const lookAt =
    (layerId: string): Look =>
    (work) =>
      probes.use(workspace, layerId, work);
  options.progress('Opening the snapshots');
  const before = lookAt(from.layerId);
  const after =
    to === undefined ? await lookAtPresent(services, probes, workspace) : lookAt(to.layerId);
  try {
    return await before((left) =>
      after(async (right) => {
        options.progress('Comparing');
        const found = await compare(left, right, input, options.signal);
        return { from: from.name, to: to?.name ?? 'head', ...found };
      }),
    );
  } catch (error) {
    throw toCoppiceError(error);
  }
}

/** A machine that runs is asked itself; else its disk is frozen, which changes nothing for it. */
async function lookAtPresent(
  services: WorkspaceServices,
  probes: Probes,
  workspace: WorkspaceRecord,
): Promise<Look> {
  const live = services.machines.get(workspace.id);
  if (live !== undefined && workspace.state === 'running') {
    return async (work) => await work(await live.link.clients());
  }
  const { layer } = await services.locks.run(workspace.id, () =>
    freezeWorkspace(services, resolveWorkspace(services.store, workspace.id), {
      memory: 'none',
      progress: () => undefined,
      publish: () => undefined,
    }),
  );
  return (work) => probes.use(workspace, layer.id, work);
}

async function compare(
  left: GuestClients,
  right: GuestClients,
  input: ParsedInputOf<'snapshot_diff'>,
  signal: AbortSignal,
): Promise<{ changes: PathChange[]; truncated: boolean }> {
  const limit = input.max_results ?? limits.diffEntries.default;
  const root = input.path ?? '/';
  const path = Buffer.from(root);
  const found: { at: number; change: PathChange }[] = [];
  const unsure: { at: number; pair: Both }[] = [];
  const walk = new AbortController();
  const stop = AbortSignal.any([signal, walk.signal]);
  let position = 0;
  let truncated = false;

  const add = (at: number, change: PathChange | undefined): void => {
    if (change === undefined) return;
    if (change.change === 'metadata' && input.metadata !== true) return;
    found.push({ at, change });
  };
  const settle = async (): Promise<void> => {
    const pairs = unsure.splice(0);
    const paths = pairs.map(({ pair }) => absolute(root, pair.before));
    const [a, b] = await Promise.all([digests(left, paths, stop), digests(right, paths, stop)]);
    pairs.forEach(({ at, pair }, index) => {
      const same = a[index] !== undefined && a[index] === b[index];
      if (same && sameMetadata(pair.before, pair.after)) return;
      add(at, changeOf(root, pair, same ? 'metadata' : 'modified'));
    });
  };

  try {
    const pairs = sideBySide(manifest(left, path, stop), manifest(right, path, stop));
    for await (const pair of pairs) {
      position += 1;
      const { before, after } = pair;
      if (before === undefined || after === undefined) {
        add(position, changeOf(root, pair, before === undefined ? 'added' : 'removed'));
      } else {
        const difference = differenceOf(before, after);
        if (difference === 'unsure') unsure.push({ at: position, pair: { before, after } });
        else if (difference !== 'none') {
          const kinds = {
            type: 'type_changed',
            content: 'modified',
            metadata: 'metadata',
          } as const;
          add(position, changeOf(root, pair, kinds[difference]));
        }
      }
      if (unsure.length >= batch) await settle();
      if (found.length > limit) {
        truncated = true;
        break;
      }
    }
    if (unsure.length > 0) await settle();
  } finally {
    walk.abort();
  }
  found.sort((a, b) => a.at - b.at);
  return {
    changes: found.slice(0, limit).map(({ change }) => change),
    truncated: truncated || found.length > limit,
  };
}

/** Hex SHA-256 of each; undefined where it could not be read. */
async function digests(
  { file }: GuestClients,
  paths: Uint8Array[],
  signal: AbortSignal,
): Promise<(string | undefined)[]> {
  const found: (string | undefined)[] = [];
  for await (const { sha256, error } of file.digest({ paths }, { signal })) {
    found.push(error === '' ? Buffer.from(sha256).toString('hex') : undefined);
  }
  return found;
}

function absolute(root: string, entry: ManifestEntry): Buffer {
  const slash = root.endsWith('/') ? '' : '/';
  return Buffer.concat([Buffer.from(root + slash), entry.path]);
}

function changeOf(
  root: string,
  { before, after }: Pair,
  change: PathChange['change'],
): PathChange | undefined {
  const entry = after ?? before;
  if (entry === undefined) return undefined;
  return {
    path: absolute(root, entry).toString('utf8'),
    change,
    kind: kindOf(entry),
    size_before: before === undefined ? null : Number(before.size),
    size_after: after === undefined ? null : Number(after.size),
  };
}

function kindOf({ kind }: ManifestEntry): PathChange['kind'] {
  if (kind === FileKind.FILE) return 'file';
  if (kind === FileKind.DIRECTORY) return 'dir';
  return kind === FileKind.SYMLINK ? 'symlink' : 'other';
}
