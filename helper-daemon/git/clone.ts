/** git clone into a place. */
import type { OutputOf, ParsedInputOf } from '../../protocol/operations.ts';
import { CoppiceError } from '../../protocol/errors.ts';
import { redact } from '../system/redact.ts';
import { gitFailure, saidBy, tryGit } from './git.ts';
import type { GitHost, HostResult } from './host.ts';
import { remoteAdvice, type Reach } from './remoteFailure.ts';
import { ownerOf } from './repository.ts';
import { lineOf } from './text.ts';

const defaultTimeoutSecs = 300;

/**
 * Clones into a missing or empty directory; when that fails the directory is as it was.
 * @throws CoppiceError `git_error`, `timeout`, `file_exists`
 */
export async function cloneRepository(
  host: GitHost,
  input: Omit<ParsedInputOf<'git_clone'>, 'workspace_id'>,
  reach: Reach,
): Promise<OutputOf<'git_clone'>> {
  const { url, path, branch, depth } = input;
  const directory = await host.stat(path);
  await requireRoom(host, path, directory?.kind);
  const user = directory === undefined ? undefined : (await ownerOf(host, path)).user;
  try {
    const result = await tryGit(
      host,
      [
        'clone',
        ...(branch === undefined ? [] : ['--branch', branch]),
        ...(depth === undefined ? [] : ['--depth', String(depth)]),
        '--',
        url,
        path,
      ],
      {
        cwd: '/',
        user,
        env: { GIT_ALLOW_PROTOCOL: 'http:https:git:ssh' },
        timeoutMs: (input.timeout_secs ?? defaultTimeoutSecs) * 1000,
        keepBytes: 64 * 1024,
      },
    );
    if (result.exitCode !== 0) throw cloneFailure(host, result, reach);
  } catch (error) {
    await tidy(host, path, directory !== undefined);
    throw error;
  }
  const head = await tryGit(host, ['rev-parse', '--verify', '--quiet', 'HEAD'], {
    cwd: path,
    user,
    reading: true,
  });
  return {
    success: true,
    path,
    commit_sha: head.exitCode === 0 ? lineOf(head.stdout.bytes) : '',
    url: redact(url),
    branch: branch ?? null,
    depth: depth ?? null,
  };
}

async function requireRoom(host: GitHost, path: string, kind: string | undefined): Promise<void> {
  if (kind === undefined) return;
  if (kind === 'directory' && (await host.list(path)).length === 0) return;
  throw new CoppiceError({
    code: 'file_exists',
    message: `${path} in ${host.name} exists and is not an empty directory.`,
    next: 'Clone into a directory that is missing or empty.',
    details: { path },
  });
}

function cloneFailure(host: GitHost, result: HostResult, reach: Reach): CoppiceError {
  return gitFailure(host, 'clone', result, remoteAdvice(saidBy(result), reach));
}

/** git tidies up after itself unless it was killed. */
async function tidy(host: GitHost, path: string, existed: boolean): Promise<void> {
  try {
    if (!existed) {
      await host.remove(path);
      return;
    }
    for (const name of await host.list(path)) await host.remove(`${path}/${name}`);
  } catch {
    // The machine is gone, and the reason for the failure is the one to tell.
  }
}
