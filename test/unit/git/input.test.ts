/** What git tools let in. */
import { describe, expect, it } from 'vitest';
import {
  gitBranch,
  gitClone,
  gitCommit,
  gitPush,
  gitUrl,
} from '../../../protocol/operations/git.ts';
import { workspaceMerge } from '../../../protocol/operations/merge.ts';

describe('a URL to clone', () => {
  it.each([
    'https://example.com/a/b.git',
    'http://example.com/a',
    'git://127.0.0.1:9418/x',
    'ssh://git@example.com:22/a/b.git',
    'https://user:token@example.com/a.git',
    'git@example.com:a/b.git',
    'git@[::1]:a/b',
  ])('may be %s', (url) => {
    expect(gitUrl.safeParse(url).success).toBe(true);
  });

  it.each([
    'file:///etc',
    '/srv/repo.git',
    './repo',
    '-u@x:y',
    '--upload-pack=touch@x:y',
    'ext::sh -c id@x:y',
    'ext::id@x:y',
    'ssh://-oProxyCommand=id/x',
    'a@b::c',
    'ftp://a@b:c/d',
    'https://example.com/a;id',
    'https://example.com/$(id)',
    'https://example.com/`id`',
    "https://example.com/'",
    'https://example.com/a\nb',
    'https://example.com/a b',
    '',
  ])('may not be %j', (url) => {
    expect(gitUrl.safeParse(url).success).toBe(false);
  });
});

describe('a branch', () => {
  it.each(['main', 'feature/a-1', 'v1.0', 'grün', 'a@b'])('may be %s', (name) => {
    expect(gitBranch.safeParse(name).success).toBe(true);
  });

  it.each(['-f', '--all', '+main', 'a:b', 'a..b', 'a b', '@', 'a.lock', 'a/', '/a', 'a~1', ''])(
    'may not be %j',
    (name) => {
      expect(gitBranch.safeParse(name).success).toBe(false);
    },
  );
});

describe('the other parameters', () => {
  it('have the defaults of the contract', () => {
    const clone = gitClone.input.parse({ workspace_id: 'a', url: 'https://example.com/x' });
    expect(clone).toMatchObject({ path: '/workspace' });
    const commit = gitCommit.input.parse({ workspace_id: 'a', message: 'm' });
    expect(commit).toMatchObject({ path: '/workspace', add_all: true });
    const push = gitPush.input.parse({ workspace_id: 'a' });
    expect(push).toMatchObject({ remote: 'origin', force: false, timeout_secs: 120 });
  });

  it.each(['-x', '--receive-pack=id', '../other', 'a b', 'file:///x', ''])(
    'do not take %j for a remote',
    (remote) => {
      expect(gitPush.input.safeParse({ workspace_id: 'a', remote }).success).toBe(false);
    },
  );

  it.each([
    { source_workspaces: [], strategy: 'sequential' },
    { source_workspaces: ['a'], strategy: 'octopus' },
    { source_workspaces: ['a'] },
  ])('of workspace_merge refuse %j', (input) => {
    const parsed = workspaceMerge.input.safeParse({ target_workspace: 't', ...input });
    expect(parsed.success).toBe(false);
  });
});
