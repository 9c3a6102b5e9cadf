/** Brings the commits that a source has and the target has not into the target's repository, as a bundle. */
import { CoppiceError } from '../../../protocol/errors.ts';
import type { GitHost } from '../host.ts';
import {
  commitOf,
  identityConfig,
  inRepository,
  openRepository,
  type Repository,
} from '../repository.ts';
import { parseStatus } from '../status.ts';
import { lineOf, linesOf } from '../text.ts';
import {
  makeScratch,
  removeScratch,
  scratchOf,
  sourceRef,
  sweep,
  type Scratch,
} from './scratch.ts';
import { quietConfig } from './quiet.ts';

/** Latest commits of the target among which the source looks for what both have. */
const comparedCommits = 5000;
const bundleBytes = 4 * 1024 ** 3;
const transferMs = 600_000;
const keepBytes = 4 * 1024 * 1024;

export interface CollectRequest {
  readonly mergeId: string;
  readonly index: number;
  readonly label: string;
  readonly path: string;
  readonly includeUncommitted: boolean;
  readonly isActive: (id: string) => boolean;
}

export interface Collected {
  /** Commit to merge; the target has it now. */
  readonly sha: string;
  /** What is in no commit and stays behind. */
  readonly uncommitted: readonly string[];
}

/** @throws CoppiceError `git_error`, `limit_exceeded`, and what the machines say */
export async function collectSource(
  source: { readonly host: GitHost; readonly forCleanup: GitHost },
  target: Repository,
  request: CollectRequest,
): Promise<Collected> {
  const repository = await openRepository(source.host, request.path);
  await sweep(repository, request.isActive);
  const scratch = scratchOf(repository, request.mergeId);
  try {
    return await collect(repository, scratch, target, request);
  } finally {
    await removeScratch({ ...repository, host: source.forCleanup }, scratch);
  }
}

async function collect(
  repository: Repository,
  scratch: Scratch,
  target: Repository,
  request: CollectRequest,
): Promise<Collected> {
  const head = await commitOf(repository, 'HEAD');
  if (head === undefined) throw broken('it has no commits yet');
  const uncommitted = await uncommittedPaths(repository);
  await makeScratch(repository, scratch);
  const included = request.includeUncommitted && uncommitted.length > 0;
  const sha = included ? await commitAside(repository, scratch, head, request.label) : head;
  await ship(repository, scratch, target, { ...request, sha });
  return { sha, uncommitted: included ? [] : uncommitted };
}

async function uncommittedPaths(repository: Repository): Promise<string[]> {
  const status = await inRepository(repository, ['status', '--porcelain=v2', '-z'], {
    reading: true,
    keepBytes,
  });
  const { staged, modified, untracked, conflicted } = parseStatus(status, false);
  return [...new Set([...staged, ...modified, ...untracked, ...conflicted])];
}

/** A commit of everything as it is now. Neither branch, index nor files of the source change. */
async function commitAside(
  repository: Repository,
  scratch: Scratch,
  head: string,
  label: string,
): Promise<string> {
  const { host, gitDirectory, user } = repository;
  const unmerged = await inRepository(repository, ['ls-files', '--unmerged', '-z'], {
    reading: true,
  });
  if (unmerged.length > 0) throw broken('it has conflicts that are not resolved');
  const index = `${scratch.directory}/index`;
  if ((await host.stat(`${gitDirectory}/index`)) !== undefined) {
    // With what git knows of the files already, so that it need not read them all.
    const copied = await host.run({
      argv: ['cp', '--', `${gitDirectory}/index`, index],
      cwd: '/',
      env: {},
      timeoutMs: 60_000,
      keepBytes: 4096,
      ...(user === undefined ? {} : { user }),
    });
    if (copied.exitCode !== 0) throw broken('its index could not be read');
  }
  const env = { GIT_INDEX_FILE: index };
  await inRepository(repository, ['add', '--all'], { env, timeoutMs: transferMs });
  const tree = lineOf(await inRepository(repository, ['write-tree'], { env }));
  return lineOf(
    await inRepository(
      repository,
      ['commit-tree', tree, '-p', head, '-m', `Uncommitted changes of ${label}`],
      { config: [...quietConfig, ...(await identityConfig(repository))] },
    ),
  );
}

/** As one file, through this host: the machines need not reach each other. */
async function ship(
  repository: Repository,
  scratch: Scratch,
  target: Repository,
  { sha, mergeId, index }: CollectRequest & { readonly sha: string },
): Promise<void> {
  const ref = sourceRef(mergeId, index);
  const without = await sharedBorder(repository, target, sha);
  if (without !== undefined) {
    const from = `${scratch.directory}/${String(index)}.bundle`;
    const to = `${scratchOf(target, mergeId).directory}/${String(index)}.bundle`;
    await inRepository(repository, ['update-ref', ref, sha], { config: quietConfig });
    const negative = without.map((commit) => `^${commit}`);
    await inRepository(repository, ['bundle', 'create', '--quiet', from, ref, ...negative], {
      config: quietConfig,
      timeoutMs: transferMs,
    });
    const size = (await repository.host.stat(from))?.size ?? 0;
    if (size > bundleBytes) throw tooLarge(size);
    await target.host.write(to, repository.host.read(from), size, target.uid);
    await inRepository(target, ['bundle', 'unbundle', to], {
      config: quietConfig,
      timeoutMs: transferMs,
      keepBytes,
    });
    await target.host.remove(to);
  }
  await inRepository(target, ['update-ref', ref, sha], { config: quietConfig });
}

/**
 * The commits of both that end what the source has more than the target; undefined when it has nothing more. Copies
 * of one machine share their history by nature: the target's latest commits are looked up in the source.
 */
async function sharedBorder(
  repository: Repository,
  target: Repository,
  sha: string,
): Promise<string[] | undefined> {
  const latest = await inRepository(
    target,
    ['rev-list', `--max-count=${String(comparedCommits)}`, 'HEAD', '--all'],
    { reading: true },
  );
  const found = await inRepository(
    repository,
    ['cat-file', '--batch-check=%(objectname) %(objecttype)'],
    { input: latest, reading: true },
  );
  const shared = linesOf(found).filter((line) => line.endsWith(' commit'));
  if (shared.length === 0) {
    throw broken(
      'its history is unrelated to that of the target: they have no commit in common (a shallow clone may have to be deepened with git fetch --unshallow)',
    );
  }
  const input = [sha, ...shared.map((line) => `^${line.split(' ')[0] ?? ''}`)].join('\n');
  const range = await inRepository(repository, ['rev-list', '--boundary', '--stdin'], {
    input: Buffer.from(`${input}\n`),
    reading: true,
    keepBytes,
  });
  const lines = linesOf(range);
  const border = lines.filter((line) => line.startsWith('-')).map((line) => line.slice(1));
  return lines.length === border.length ? undefined : border;
}

function broken(why: string): CoppiceError {
  return new CoppiceError({ code: 'git_error', message: why });
}

function tooLarge(size: number): CoppiceError {
  return new CoppiceError({
    code: 'limit_exceeded',
    message: `its new commits are too large: ${String(size)} bytes, ${String(bundleBytes)} are possible`,
  });
}
