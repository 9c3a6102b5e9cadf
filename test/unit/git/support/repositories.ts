/** Real repositories in temporary directories, and what tests say about them. */
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';

export interface TestRepository {
  readonly path: string;
  /** Output of git without the last line break; throws when git fails. */
  git(...args: readonly string[]): string;
  gitBytes(...args: readonly string[]): Buffer;
  write(file: string | Buffer, content: string | Buffer): void;
  /** Writes the files and commits everything. */
  commit(message: string, files?: Readonly<Record<string, string | Buffer>>): string;
  head(): string;
  /** Subjects from the oldest of the last `count` commits to HEAD. */
  subjects(count: number): string[];
}

export interface Bed {
  readonly directory: string;
  /** HOME of every git: nobody is configured in it. */
  readonly home: string;
  create(name: string): TestRepository;
  /** A copy of a whole directory, as a fork of the machine makes it. */
  fork(from: TestRepository, name: string): TestRepository;
  at(directory: string): TestRepository;
  dispose(): void;
}

const somebody = ['-c', 'user.name=Test Author', '-c', 'user.email=author@example.com'] as const;

export function repositoryBed(): Bed {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'cop-git-'));
  const home = path.join(directory, 'home');
  mkdirSync(home);
  const env = { PATH: process.env['PATH'] ?? '', HOME: home, LC_ALL: 'C' };

  function at(where: string): TestRepository {
    const gitBytes = (...args: readonly string[]): Buffer =>
      execFileSync('git', [...somebody, ...args], {
        cwd: where,
        env,
        stdio: ['ignore', 'pipe', 'pipe'],
        maxBuffer: 64 * 1024 * 1024,
      });
    const git = (...args: readonly string[]): string =>
      gitBytes(...args)
        .toString()
        .trimEnd();
    const write = (file: string | Buffer, content: string | Buffer): void => {
      if (typeof file === 'string') {
        mkdirSync(path.dirname(path.join(where, file)), { recursive: true });
      }
      writeFileSync(Buffer.concat([Buffer.from(`${where}/`), Buffer.from(file)]), content);
    };
    return {
      path: where,
      git,
      gitBytes,
      write,
      commit(message, files = {}) {
        for (const [file, content] of Object.entries(files)) write(file, content);
        git('add', '--all');
        git('commit', '--quiet', '--allow-empty', '-m', message);
        return git('rev-parse', 'HEAD');
      },
      head: () => git('rev-parse', 'HEAD'),
      subjects: (count) => git('log', `-${String(count)}`, '--reverse', '--format=%s').split('\n'),
    };
  }

  return {
    directory,
    home,
    at,
    create(name) {
      const where = path.join(directory, name);
      mkdirSync(where, { recursive: true });
      const repository = at(where);
      // Without the samples of hooks, which would be most of the files.
      repository.git('init', '--quiet', '--initial-branch=main', '--template=');
      return repository;
    },
    fork(from, name) {
      const where = path.join(directory, name);
      cpSync(from.path, where, { recursive: true, verbatimSymlinks: true });
      return at(where);
    },
    dispose: () => rmSync(directory, { recursive: true, force: true }),
  };
}

/** Everything a merge could have left in a repository, as one value to compare. */
export function traces(repository: TestRepository): Record<string, unknown> {
  const gitDirectory = path.join(repository.path, '.git');
  return {
    status: repository.git('status', '--porcelain'),
    refs: repository.git('for-each-ref', '--format=%(refname)', 'refs/coppice'),
    worktrees: repository.git('worktree', 'list', '--porcelain').match(/^worktree /gm)?.length,
    unfinished: [
      'MERGE_HEAD',
      'CHERRY_PICK_HEAD',
      'REVERT_HEAD',
      'MERGE_MSG',
      'sequencer',
      'coppice',
      'worktrees',
      'index.lock',
      'HEAD.lock',
      'packed-refs.lock',
    ].filter((name) => existsSync(path.join(gitDirectory, name))),
    locks: readdirSync(gitDirectory, { recursive: true })
      .map(String)
      .filter((name) => name.endsWith('.lock')),
    broken: repository.git('fsck', '--no-dangling', '--connectivity-only', '--no-progress'),
  };
}

export const clean = {
  status: '',
  refs: '',
  worktrees: 1,
  unfinished: [],
  locks: [],
  broken: '',
} as const;
