/** git status as lists. */
import type { OutputOf } from '../../protocol/operations.ts';
import { gitFailure, saidBy, tryGit } from './git.ts';
import type { GitHost } from './host.ts';
import { ownerOf } from './repository.ts';
import { fieldsOf, pathText } from './text.ts';

type Status = Extract<OutputOf<'git_status'>, { readonly branch: string }>;

/** What lists show at most. */
const listedPaths = 10_000;

/** @throws CoppiceError `git_error` */
export async function repositoryStatus(
  host: GitHost,
  path: string,
): Promise<OutputOf<'git_status'>> {
  const { user } = await ownerOf(host, path);
  const result = await tryGit(host, ['status', '--porcelain=v2', '--branch', '-z'], {
    cwd: path,
    user,
    reading: true,
  });
  if (result.exitCode === 0) {
    return parseStatus(result.stdout.bytes, result.stdout.truncated);
  }
  if (/not a git repository/i.test(saidBy(result))) {
    return {
      error: 'not_a_git_repository',
      message: `${path} in ${host.name} is not in a git repository.`,
    };
  }
  throw gitFailure(host, 'status', result);
}

/** Of porcelain v2 with -z; what was cut off in the middle of a record does not count. */
export function parseStatus(bytes: Buffer, cut: boolean): Status {
  const facts = { branch: '(unknown)', ahead: 0, behind: 0 };
  const staged: string[] = [];
  const modified: string[] = [];
  const untracked: string[] = [];
  const conflicted: string[] = [];
  const fields = fieldsOf(bytes)[Symbol.iterator]();
  for (const field of fields) {
    const kind = String.fromCharCode(field[0] ?? 0);
    if (kind === '#') readHeader(field.toString('utf8'), facts);
    else if (kind === '?') untracked.push(pathText(field.subarray(2)));
    else if (kind === 'u') conflicted.push(pathText(afterBlanks(field, 10)));
    else if (kind === '1' || kind === '2') {
      const path = pathText(afterBlanks(field, kind === '1' ? 8 : 9));
      if (field[2] !== dot) staged.push(path);
      if (field[3] !== dot) modified.push(path);
      // The path it had before.
      if (kind === '2') fields.next();
    }
  }
  const lists = [staged, modified, untracked, conflicted];
  const tooMany = lists.some((list) => list.length > listedPaths);
  for (const list of lists) list.length = Math.min(list.length, listedPaths);
  return {
    ...facts,
    staged,
    modified,
    untracked,
    conflicted,
    dirty: lists.some((list) => list.length > 0),
    truncated: cut || tooMany,
  };
}

const dot = '.'.charCodeAt(0);

function readHeader(line: string, facts: { branch: string; ahead: number; behind: number }): void {
  const branch = /^# branch\.head (.*)$/s.exec(line)?.[1];
  if (branch !== undefined) facts.branch = branch;
  const [, ahead, behind] = /^# branch\.ab \+(\d+) -(\d+)$/.exec(line) ?? [];
  if (ahead !== undefined) facts.ahead = Number(ahead);
  if (behind !== undefined) facts.behind = Number(behind);
}

/** What follows the nth blank. */
function afterBlanks(field: Buffer, count: number): Buffer {
  let at = 0;
  for (let blanks = 0; blanks < count; blanks += 1) at = field.indexOf(0x20, at) + 1;
  return field.subarray(at);
}
