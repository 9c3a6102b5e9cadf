/** git_clone, git_status, git_commit, git_push and git_diff on real git. */
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import type net from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { cloneRepository } from '../../../helper-daemon/git/clone.ts';
import { commitChanges } from '../../../helper-daemon/git/commit.ts';
import { showDiff } from '../../../helper-daemon/git/diff.ts';
import { pushBranch } from '../../../helper-daemon/git/push.ts';
import { repositoryStatus } from '../../../helper-daemon/git/status.ts';
import { CoppiceError } from '../../../protocol/errors.ts';
import type { ParsedInputOf } from '../../../protocol/operations.ts';
import { freePort, gitServer, type GitServer } from './support/gitServer.ts';
import { localHost, type LocalHost } from './support/localHost.ts';
import { repositoryBed, type Bed, type TestRepository } from './support/repositories.ts';

let bed: Bed;
let server: GitServer;
let host: LocalHost;
let repository: TestRepository;
let tests = 0;

const closed = { workspace: 'demo', internet: 'off' } as const;
const open = { workspace: 'demo', internet: 'full' } as const;

beforeAll(async () => {
  bed = repositoryBed();
  const upstream = bed.create('upstream');
  upstream.commit('first', { 'README.md': '# Old Title\n' });
  upstream.commit('second', { 'README.md': '# Title\n' });
  upstream.git('branch', 'feature', 'HEAD^');
  upstream.git('config', 'receive.denyCurrentBranch', 'ignore');
  server = await gitServer(bed.directory);
});

afterAll(async () => {
  await server.close();
  bed.dispose();
});

beforeEach(() => {
  tests += 1;
  host = localHost('demo', bed.home);
  repository = bed.create(`repository-${String(tests)}`);
});

async function refusal(work: Promise<unknown>): Promise<CoppiceError> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof CoppiceError) return error;
  throw new Error('not refused', { cause: error });
}

const inBed = (name: string): string => path.join(bed.directory, `${name}-${String(tests)}`);

describe('git_clone', () => {
  it('clones and tells the commit', async () => {
    const to = inBed('clone');
    const result = await cloneRepository(host, { url: server.url('upstream'), path: to }, open);
    expect(result).toEqual({
      success: true,
      path: to,
      commit_sha: bed.at(to).head(),
      url: server.url('upstream'),
      branch: null,
      depth: null,
    });
    expect(bed.at(to).subjects(2)).toEqual(['first', 'second']);
  });

  it('clones a branch and so many commits into an empty directory', async () => {
    const to = inBed('clone');
    mkdirSync(to);
    const url = server.url('upstream');
    const result = await cloneRepository(
      host,
      { url, path: to, branch: 'feature', depth: 1 },
      open,
    );
    expect(result).toMatchObject({ branch: 'feature', depth: 1 });
    expect(bed.at(to).git('branch', '--show-current')).toBe('feature');
  });

  it('tells of a repository without commits that it has none', async () => {
    bed.create('empty');
    const to = inBed('clone');
    const result = await cloneRepository(host, { url: server.url('empty'), path: to }, open);
    expect(result.commit_sha).toBe('');
  });

  it('touches no directory with something in it', async () => {
    const to = inBed('clone');
    mkdirSync(to);
    writeFileSync(path.join(to, 'mine'), '');
    const work = cloneRepository(host, { url: server.url('upstream'), path: to }, open);
    expect((await refusal(work)).code).toBe('file_exists');
    expect(readdirSync(to)).toEqual(['mine']);
  });

  it('leaves nothing of a clone that failed or was killed', async () => {
    const url = server.url('upstream');
    const missing = inBed('missing');
    const empty = inBed('empty');
    mkdirSync(empty);
    for (const to of [missing, empty]) {
      const killed = localHost('demo', bed.home, (argv) => {
        if (!argv.includes('clone')) return;
        mkdirSync(path.join(to, '.git'), { recursive: true });
        throw new CoppiceError({ code: 'guest_unreachable', message: 'killed' });
      });
      expect((await refusal(cloneRepository(killed, { url, path: to }, open))).message).toBe(
        'killed',
      );
      const none = cloneRepository(host, { url: server.url('nothing'), path: to }, open);
      expect((await refusal(none)).code).toBe('git_error');
    }
    expect(existsSync(missing)).toBe(false);
    expect(readdirSync(empty)).toEqual([]);
  });

  it('names network_policy where the internet is off, and only there', async () => {
    const url = `git://127.0.0.1:${String(await freePort())}/x`;
    const off = await refusal(cloneRepository(host, { url, path: inBed('a') }, closed));
    expect(off.next).toContain('The internet is off in demo');
    expect(off.next).toContain('network_policy');
    const on = await refusal(cloneRepository(host, { url, path: inBed('b') }, open));
    expect(on.next).not.toContain('network_policy');
  });

  it('never shows credentials of the URL', async () => {
    const port = String(await freePort());
    const url = `http://user:hunter2@127.0.0.1:${port}/x.git`;
    const error = await refusal(cloneRepository(host, { url, path: inBed('a') }, open));
    expect(JSON.stringify(error.toBody())).not.toContain('hunter2');
    expect(error.code).toBe('git_error');
  });

  it('does not follow a server to what is no network', async () => {
    const to = inBed('clone');
    const url = `${bed.directory}/upstream`;
    const error = await refusal(cloneRepository(host, { url, path: to }, open));
    expect(error.message).toContain("transport 'file' not allowed");
  });
});

describe('git_status', () => {
  it('sorts the files by what was done with them', async () => {
    repository.commit('base', { 'a b.txt': 'a\n', 'old.txt': '1\n2\n3\n', 'both.txt': 'x\n' });
    repository.write('a b.txt', 'changed\n');
    repository.git('mv', 'old.txt', 'new.txt');
    repository.write('both.txt', 'staged\n');
    repository.git('add', 'both.txt');
    repository.write('both.txt', 'and changed\n');
    repository.write('dir/untracked', '');
    expect(await repositoryStatus(host, repository.path)).toEqual({
      branch: 'main',
      ahead: 0,
      behind: 0,
      staged: ['both.txt', 'new.txt'],
      modified: ['a b.txt', 'both.txt'],
      untracked: ['dir/'],
      conflicted: [],
      dirty: true,
      truncated: false,
    });
  });

  it('counts the commits that the remote branch has not, and has more', async () => {
    const to = inBed('clone');
    await cloneRepository(host, { url: server.url('upstream'), path: to }, open);
    const clone = bed.at(to);
    clone.git('reset', '--quiet', '--hard', 'HEAD^');
    clone.commit('mine', { x: 'x' });
    clone.commit('mine too', { y: 'y' });
    expect(await repositoryStatus(host, to)).toMatchObject({ ahead: 2, behind: 1, dirty: false });
  });

  it('shows conflicts, a detached HEAD and a branch without commits', async () => {
    expect(await repositoryStatus(host, repository.path)).toMatchObject({ branch: 'main' });
    repository.commit('base', { 'a.txt': 'a\n' });
    repository.git('switch', '--quiet', '-c', 'side');
    repository.commit('side', { 'a.txt': 'side\n' });
    repository.git('switch', '--quiet', 'main');
    repository.commit('main', { 'a.txt': 'main\n' });
    repository.git('switch', '--quiet', '--detach');
    expect(() => repository.git('merge', 'side')).toThrow();
    expect(await repositoryStatus(host, repository.path)).toMatchObject({
      branch: '(detached)',
      conflicted: ['a.txt'],
      staged: [],
      dirty: true,
    });
  });

  it('quotes paths that are not UTF-8, and no others', async () => {
    repository.write(Buffer.from([0x63, 0xe9]), '');
    repository.write('grün "quoted"', '');
    repository.write('line\nbreak', '');
    expect(await repositoryStatus(host, repository.path)).toMatchObject({
      untracked: ['"c\\351"', 'grün "quoted"', 'line\nbreak'],
    });
  });

  it('answers for a directory outside any repository, and fails without a directory', async () => {
    const none = inBed('none');
    mkdirSync(none);
    expect(await repositoryStatus(host, none)).toEqual({
      error: 'not_a_git_repository',
      message: `${none} in demo is not in a git repository.`,
    });
    expect((await refusal(repositoryStatus(host, inBed('missing')))).code).toBe('file_not_found');
  });
});

describe('git_commit', () => {
  const input = (
    more: Partial<ParsedInputOf<'git_commit'>> = {},
  ): Omit<ParsedInputOf<'git_commit'>, 'workspace_id'> => ({
    path: repository.path,
    message: 'Update title',
    add_all: true,
    ...more,
  });

  it('stages everything and commits it as somebody, although nobody is configured', async () => {
    repository.write('new.txt', 'new\n');
    const result = await commitChanges(host, input({ message: '-m "it\'s" $HOME\n\nBody\n' }));
    const sha = repository.head();
    expect(result).toEqual({
      commit_sha: sha,
      short_sha: sha.slice(0, 7),
      branch: 'main',
      summary: `${sha.slice(0, 7)} -m "it's" $HOME`,
    });
    expect(repository.git('log', '-1', '--format=%an <%ae>|%b')).toBe(
      'Coppice <coppice@localhost>|Body',
    );
  });

  it('commits only what is staged where add_all is false', async () => {
    repository.write('staged', '');
    repository.git('add', 'staged');
    repository.write('other', '');
    await commitChanges(host, input({ add_all: false }));
    expect(repository.git('ls-tree', '--name-only', 'HEAD')).toBe('staged');
  });

  it('commits as the author that is given', async () => {
    repository.write('x', '');
    await commitChanges(host, input({ author_name: 'Jo', author_email: 'jo@example.com' }));
    expect(repository.git('log', '-1', '--format=%an <%ae> %cn <%ce>')).toBe(
      'Jo <jo@example.com> Jo <jo@example.com>',
    );
  });

  it('tells when there is nothing to commit', async () => {
    repository.commit('base', { x: 'x' });
    expect(await commitChanges(host, input())).toMatchObject({ status: 'nothing_to_commit' });
    repository.write('untracked', '');
    expect(await commitChanges(host, input({ add_all: false }))).toMatchObject({
      status: 'nothing_to_commit',
    });
    repository.write('x', 'changed');
    expect(await commitChanges(host, input({ add_all: false }))).toMatchObject({
      status: 'nothing_to_commit',
    });
    const empty = bed.create(`empty-${String(tests)}`);
    expect(await commitChanges(host, input({ path: empty.path }))).toMatchObject({
      status: 'nothing_to_commit',
    });
  });

  it('fails with what a hook says, without the secrets in it', async () => {
    const hook = path.join(repository.path, '.git/hooks/pre-commit');
    mkdirSync(path.dirname(hook), { recursive: true });
    writeFileSync(hook, '#!/bin/sh\necho "no: https://user:pass@example.com/x" >&2\nexit 1\n');
    chmodSync(hook, 0o755);
    repository.write('x', '');
    const error = await refusal(commitChanges(host, input()));
    expect(error.code).toBe('git_error');
    expect(error.message).toContain('no: [REDACTED-URL]');
  });
});

describe('git_push', () => {
  const input = (
    more: Partial<ParsedInputOf<'git_push'>> = {},
  ): Omit<ParsedInputOf<'git_push'>, 'workspace_id'> => ({
    path: repository.path,
    remote: 'origin',
    force: false,
    set_upstream: false,
    timeout_secs: 60,
    ...more,
  });

  beforeEach(async () => {
    const to = inBed('clone');
    await cloneRepository(host, { url: server.url('upstream'), path: to }, open);
    repository = bed.at(to);
  });

  it('pushes the current branch, and follows it where that is wanted', async () => {
    repository.git('switch', '--quiet', '-c', `topic-${String(tests)}`);
    repository.commit('work', { x: String(tests) });
    const result = await pushBranch(host, input({ set_upstream: true }), open);
    const branch = `topic-${String(tests)}`;
    expect(result).toMatchObject({ remote: 'origin', branch, success: true });
    expect(result.output).toContain('new branch');
    expect(repository.git('rev-parse', '@{upstream}')).toBe(repository.head());
  });

  it('explains why the remote does not take it, and replaces what it has with force', async () => {
    repository.git('reset', '--quiet', '--hard', 'HEAD^');
    repository.commit('other', { x: 'x' });
    const error = await refusal(pushBranch(host, input(), open));
    expect(error.code).toBe('git_error');
    expect(error.next).toContain('force');
    await pushBranch(host, input({ force: true }), open);
    expect(bed.at(path.join(bed.directory, 'upstream')).git('rev-parse', 'main')).toBe(
      repository.head(),
    );
  });

  it('explains a missing remote, a missing branch and a detached HEAD', async () => {
    const noRemote = await refusal(pushBranch(host, input({ remote: 'nowhere' }), open));
    expect(noRemote.next).toContain('no such remote');
    const noBranch = await refusal(pushBranch(host, input({ branch: 'nothing' }), open));
    expect(noBranch.next).toContain('no such branch');
    repository.git('switch', '--quiet', '--detach');
    expect((await refusal(pushBranch(host, input(), open))).message).toContain('detached');
  });

  it('explains that the remote wants credentials instead of asking for them', async () => {
    const asking = http.createServer((_, response) => {
      response.writeHead(401, { 'WWW-Authenticate': 'Basic realm="git"' }).end();
    });
    asking.listen(0, '127.0.0.1');
    await once(asking, 'listening');
    const { port } = asking.address() as net.AddressInfo;
    const remote = `http://127.0.0.1:${String(port)}/x.git`;
    const error = await refusal(pushBranch(host, input({ remote }), closed));
    asking.close();
    expect(error.next).toContain('credentials');
  });
});

describe('git_diff', () => {
  const input = (
    more: Partial<ParsedInputOf<'git_diff'>> = {},
  ): Omit<ParsedInputOf<'git_diff'>, 'workspace_id'> => ({
    path: repository.path,
    staged: false,
    stat: false,
    max_bytes: 65_536,
    ...more,
  });

  beforeEach(() => {
    repository.commit('base', { 'a.txt': 'a\n', 'b*.txt': 'b\n', 'b1.txt': 'b\n' });
  });

  it('shows what has changed, staged or not, and the counts', async () => {
    repository.write('a.txt', 'changed\n');
    repository.write('b1.txt', 'staged\n');
    repository.git('add', 'b1.txt');
    const unstaged = await showDiff(host, input());
    expect(unstaged.diff).toContain('-a\n+changed\n');
    expect(unstaged.diff).not.toContain('staged');
    expect(unstaged.stat).toContain('a.txt | 2 +-');
    expect(unstaged.truncated).toBe(false);
    expect((await showDiff(host, input({ staged: true }))).diff).toContain('-b\n+staged\n');
    const counts = await showDiff(host, input({ stat: true }));
    expect(counts.diff).toBe(unstaged.stat);
    expect(counts.stat).toBeUndefined();
  });

  it('takes a path for a path, whatever is in it', async () => {
    repository.write('b*.txt', 'star\n');
    repository.write('b1.txt', 'one\n');
    const { diff } = await showDiff(host, input({ file_path: 'b*.txt' }));
    expect(diff).toContain('+star');
    expect(diff).not.toContain('+one');
    expect(await showDiff(host, input({ file_path: '--output=stolen' }))).toMatchObject({
      diff: '',
    });
    expect(existsSync(path.join(repository.path, 'stolen'))).toBe(false);
  });

  it('cuts between characters and says so', async () => {
    repository.write('a.txt', 'ü'.repeat(50_000));
    const { diff, truncated } = await showDiff(host, input({ max_bytes: 1001 }));
    expect(truncated).toBe(true);
    expect(diff).toMatch(/ü\n\[TRUNCATED\]$/);
    expect(Buffer.byteLength(diff)).toBeLessThanOrEqual(1001 + '\n[TRUNCATED]'.length);
  });

  it('shows no secret, not even a part of one at the cut', async () => {
    const secret = `ghp_${'aB3'.repeat(12)}`;
    repository.write('a.txt', `${'x'.repeat(500)}${secret}\n`);
    const whole = (await showDiff(host, input())).diff;
    expect(whole).toContain('[REDACTED]');
    const start = whole.indexOf('[REDACTED]');
    for (const max_bytes of [start + 4, start + 8, start + 20]) {
      const { diff } = await showDiff(host, input({ max_bytes }));
      expect(diff).not.toContain('ghp_');
    }
  });

  it('shows what is not UTF-8 as far as it can', async () => {
    repository.write('a.txt', Buffer.from([0x63, 0xe9, 0x0a]));
    expect((await showDiff(host, input())).diff).toContain('+c\ufffd\n');
  });

  it('fails outside a repository', async () => {
    const none = inBed('none');
    mkdirSync(none);
    expect((await refusal(showDiff(host, input({ path: none })))).code).toBe('git_error');
  });
});
