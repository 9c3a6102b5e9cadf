/**
 * What a merge makes in a repository beside its result: a directory and references of its own, named by its id, so
 * that they are found again by whoever finds the merge interrupted.
 */
import { isUuid } from '../../../protocol/names.ts';
import { inRepository, type Repository } from '../repository.ts';
import { linesOf } from '../text.ts';
import { quietConfig } from './quiet.ts';

const refRoot = 'refs/coppice/merge';

export interface Scratch {
  readonly id: string;
  /** For bundles, the working tree and indexes. On the repository's own disk: /tmp may be memory. */
  readonly directory: string;
  readonly worktree: string;
  /** What git keeps of the working tree. */
  readonly worktreeRecord: string;
  /** Name of the label that durable commands of this merge have. */
  readonly label: string;
}

export function scratchOf({ commonDirectory }: Repository, id: string): Scratch {
  const directory = `${commonDirectory}/coppice/${id}`;
  return {
    id,
    directory,
    worktree: `${directory}/coppice-${id}`,
    worktreeRecord: `${commonDirectory}/worktrees/coppice-${id}`,
    label: mergeLabel(id),
  };
}

export function mergeLabel(id: string): string {
  return `coppice merge ${id}`;
}

export function sourceRef(id: string, index: number): string {
  return `${refRoot}/${id}/${String(index)}`;
}

export async function makeScratch(repository: Repository, scratch: Scratch): Promise<void> {
  const { host, uid } = repository;
  await host.makeDirectory(scratch.directory, uid);
}

/** Takes away everything a merge has made beside its result; nothing where there is nothing. */
export async function removeScratch(repository: Repository, scratch: Scratch): Promise<void> {
  const { host, commonDirectory } = repository;
  await host.remove(scratch.worktreeRecord);
  await host.remove(scratch.directory);
  for (const directory of ['worktrees', 'coppice']) {
    await removeIfEmpty(repository, `${commonDirectory}/${directory}`);
  }
  const refs = await inRepository(
    repository,
    ['for-each-ref', '--format=%(refname)', `${refRoot}/${scratch.id}/`],
    { reading: true },
  );
  for (const ref of linesOf(refs)) {
    // It locks the references of the whole repository for a moment: killed in it, it would leave the lock.
    await inRepository(repository, ['update-ref', '-d', ref], {
      config: quietConfig,
      durable: scratch.label,
    });
  }
  await host.remove(`${commonDirectory}/${refRoot}/${scratch.id}`);
}

/** Takes away what merges left that nobody works on any more. */
export async function sweep(
  repository: Repository,
  isActive: (id: string) => boolean,
): Promise<void> {
  const { host, commonDirectory } = repository;
  const refs = await inRepository(
    repository,
    ['for-each-ref', '--format=%(refname:lstrip=3)', `${refRoot}/`],
    { reading: true },
  );
  const place = `${commonDirectory}/coppice`;
  const names = (await host.stat(place)) === undefined ? [] : await host.list(place);
  const ids = new Set([...linesOf(refs).map((ref) => ref.split('/')[0] ?? ''), ...names]);
  for (const id of ids) {
    if (isUuid(id) && !isActive(id)) await removeScratch(repository, scratchOf(repository, id));
  }
}

async function removeIfEmpty({ host }: Repository, directory: string): Promise<void> {
  if ((await host.stat(directory)) === undefined) return;
  if ((await host.list(directory)).length === 0) await host.remove(directory);
}
