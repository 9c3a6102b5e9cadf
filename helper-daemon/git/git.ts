/** Running git in a place, always the same way: no prompts, no translations, no words of the repository's owner. */
import { CoppiceError } from '../../protocol/errors.ts';
import { redact } from '../system/redact.ts';
import type { GitHost, HostResult } from './host.ts';
import { cutText } from './text.ts';

export interface GitOptions {
  /** Directory to run in. */
  readonly cwd: string;
  /** Account that owns the repository, so that what git writes stays its. */
  readonly user?: string | undefined;
  readonly input?: Uint8Array;
  /** Default: 30 s. */
  readonly timeoutMs?: number;
  readonly keepBytes?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** `name=value` of git's configuration. */
  readonly config?: readonly string[];
  /** Changes nothing: takes no locks for caches either. */
  readonly reading?: boolean;
  /** See HostCommand. */
  readonly durable?: string;
}

const defaultTimeoutMs = 30_000;
const defaultKeepBytes = 2 * 1024 * 1024;

/**
 * Runs git and returns how it ended, whatever that is.
 * @throws CoppiceError `timeout`; `not_started` when there is no git; `file_not_found` when there is no such directory
 */
export async function tryGit(
  host: GitHost,
  args: readonly string[],
  options: GitOptions,
): Promise<HostResult> {
  const config = ['safe.directory=*', 'core.quotePath=false', 'color.ui=false'];
  const result = await host
    .run({
      argv: ['git', ...[...config, ...(options.config ?? [])].flatMap((c) => ['-c', c]), ...args],
      cwd: options.cwd,
      env: {
        LC_ALL: 'C',
        GIT_TERMINAL_PROMPT: '0',
        ...(options.reading === true ? { GIT_OPTIONAL_LOCKS: '0' } : {}),
        ...options.env,
      },
      timeoutMs: options.timeoutMs ?? defaultTimeoutMs,
      keepBytes: options.keepBytes ?? defaultKeepBytes,
      ...(options.input === undefined ? {} : { input: options.input }),
      ...(options.durable === undefined ? {} : { durable: options.durable }),
      ...(options.user === undefined ? {} : { user: options.user }),
    })
    .catch(async (error: unknown) => {
      throw await whyNotStarted(host, options.cwd, error);
    });
  if (!result.timedOut) return result;
  throw new CoppiceError({
    code: 'timeout',
    message: `git ${args[0] ?? ''} in ${host.name} did not end in time and was killed.`,
    next: 'Allow more time, or look at the load and the network of the machine.',
  });
}

/**
 * Runs git; everything but success is an error.
 * @throws CoppiceError `git_error`, and as tryGit
 */
export async function git(
  host: GitHost,
  args: readonly string[],
  options: GitOptions,
): Promise<Buffer> {
  const result = await tryGit(host, args, options);
  if (result.exitCode !== 0) throw gitFailure(host, args[0] ?? '', result);
  if (result.stdout.truncated) {
    throw new CoppiceError({
      code: 'limit_exceeded',
      message: `git ${args[0] ?? ''} in ${host.name} printed more than can be handled.`,
      next: 'Look at the repository with exec.',
    });
  }
  return result.stdout.bytes;
}

/** What git said, without secrets and of bounded length. */
export function saidBy(result: HostResult): string {
  const said = [result.stderr, result.stdout]
    .map(({ bytes }) => redact(bytes.toString('utf8')).trim())
    .filter((text) => text !== '')
    .join('\n');
  return cutText(said, 4096).text;
}

export function gitFailure(
  host: GitHost,
  what: string,
  result: HostResult,
  next?: string,
): CoppiceError {
  const said = saidBy(result);
  if (/not a git repository/i.test(said)) return notARepository(host, next);
  return new CoppiceError({
    code: 'git_error',
    message: `git ${what} in ${host.name} failed: ${said === '' ? `it ended with ${String(result.exitCode)}` : said}`,
    ...(next === undefined ? {} : { next }),
    details: { exit_code: result.exitCode },
  });
}

export function notARepository(host: GitHost, next?: string): CoppiceError {
  return new CoppiceError({
    code: 'git_error',
    message: `There is no git repository at this path in ${host.name}.`,
    next: next ?? 'Give the path of one, or make it with git_clone or git init.',
  });
}

async function whyNotStarted(host: GitHost, cwd: string, error: unknown): Promise<unknown> {
  if (!(error instanceof CoppiceError) || error.code !== 'not_started') return error;
  const directory = await host.stat(cwd);
  if (directory?.kind !== 'directory') {
    return new CoppiceError({
      code: 'file_not_found',
      message: `There is no directory ${cwd} in ${host.name}.`,
      next: 'Give the path of the repository in the machine.',
    });
  }
  return new CoppiceError({
    code: 'not_started',
    message: `git could not be started in ${host.name}: ${error.message}`,
    next: 'Install it there (apt-get install git), or use an image that has it, such as debian-dev.',
  });
}
