/** The git tools on real git in a real machine. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CoppiceClient } from '../../../helper-daemon/client/client.ts';
import { runTool, type Tool } from '../../../protocol/tool.ts';
import {
  gitCloneTool,
  gitCommitTool,
  gitDiffTool,
  gitPushTool,
  gitStatusTool,
} from '../../../protocol/tools/git.ts';
import { cliFor } from '../support/cliRunner.ts';
import { startTestDaemon, type TestDaemon } from '../support/testDaemon.ts';
import { refusal, sh } from '../support/workspaceSteps.ts';

let daemon: TestDaemon;
let client: CoppiceClient;
const machine = 'git-work';

beforeAll(async () => {
  daemon = await startTestDaemon();
  client = await daemon.connect();
  await client.call('workspace_create', { name: machine, vcpus: 1, memory_mb: 256 });
  await sh(
    client,
    machine,
    `set -e
     mkdir -p /srv/git && cd /srv/git && git init -q --bare -b main repo.git
     git init -q -b main /tmp/seed && cd /tmp/seed
     printf '# Old Title\\n' > README.md && git add .
     git -c user.name=a -c user.email=a@b commit -q -m first
     git push -q /srv/git/repo.git main`,
  );
  await client.call('process_start', {
    workspace_id: machine,
    command:
      'exec git daemon --reuseaddr --export-all --enable=receive-pack --base-path=/srv/git /srv/git',
  });
  await sh(client, machine, 'until ss -ltn | grep -q :9418; do sleep 0.1; done');
});

afterAll(() => daemon.dispose());

async function tool(
  definition: Tool,
  input: Readonly<Record<string, unknown>>,
): Promise<Record<string, unknown>> {
  const reply = await runTool(definition, { workspace_id: machine, ...input }, (name, operation) =>
    client.call(name, operation),
  );
  expect(JSON.parse(reply.text)).toEqual(reply.structured);
  return reply.structured;
}

describe('the git workflow of the guide', () => {
  const path = '/workspace/repo';

  it('clones, edits, looks, commits and pushes', async () => {
    const cloned = await tool(gitCloneTool, { url: 'git://127.0.0.1/repo.git', path });
    expect(cloned).toMatchObject({ success: true, path, branch: null, depth: null });
    await client.call('file_edit', {
      workspace_id: machine,
      path: `${path}/README.md`,
      old_string: '# Old Title',
      new_string: '# New Title',
    });
    expect(await tool(gitStatusTool, { path })).toMatchObject({
      branch: 'main',
      staged: [],
      modified: ['README.md'],
      untracked: [],
      dirty: true,
    });
    expect((await tool(gitDiffTool, { path }))['diff']).toContain('-# Old Title\n+# New Title\n');
    const commit = await tool(gitCommitTool, { path, message: 'Update title', add_all: true });
    expect(commit).toMatchObject({ branch: 'main' });
    expect(commit['summary']).toBe(`${String(commit['short_sha'])} Update title`);
    const pushed = await tool(gitPushTool, { path, set_upstream: true });
    expect(pushed).toMatchObject({ remote: 'origin', branch: 'main', success: true });
    expect(await sh(client, machine, 'git -C /srv/git/repo.git rev-parse main')).toBe(
      commit['commit_sha'],
    );
    expect(await tool(gitCommitTool, { path, message: 'again' })).toMatchObject({
      status: 'nothing_to_commit',
    });
    expect(await tool(gitStatusTool, { path: '/srv' })).toMatchObject({
      error: 'not_a_git_repository',
    });
  });

  it('reads the same on the command line', async () => {
    const cli = cliFor(daemon.home);
    await sh(client, machine, `echo x > ${path}/new.txt`);
    const status = await cli.ok('git', 'status', machine, path);
    expect(status).toContain('On main');
    expect(status).toMatch(/New:\n {2}new\.txt/);
    expect(await cli.ok('git', 'commit', machine, path, '-m', 'A new file')).toMatch(
      /^Committed \w{7} A new file on main\./,
    );
  });

  it('names network_policy when the internet is off', async () => {
    const error = await refusal(
      client.call('git_clone', {
        workspace_id: machine,
        url: 'https://token@example.com/x.git',
        path: '/workspace/other',
      }),
    );
    expect(error.code).toBe('git_error');
    expect(error.next).toContain('network_policy');
    expect(JSON.stringify(error.toBody())).not.toContain('token@');
    expect(await sh(client, machine, 'ls /workspace')).toBe('repo');
  });

  it('leaves the files of another account that account', async () => {
    await sh(
      client,
      machine,
      `useradd --create-home --uid 1234 dev && cp -r ${path} /home/dev/repo && chown -R dev /home/dev/repo && echo y > /home/dev/repo/mine && chown dev /home/dev/repo/mine`,
    );
    await tool(gitCommitTool, { path: '/home/dev/repo', message: 'as dev' });
    expect(await sh(client, machine, 'find /home/dev/repo ! -user dev')).toBe('');
    // Nobody has this number there.
    await sh(client, machine, `cp -r ${path} /srv/odd && chown -R 4321 /srv/odd`);
    expect(await tool(gitStatusTool, { path: '/srv/odd' })).toMatchObject({ branch: 'main' });
  });

  it('says that git is missing, and which directory is', async () => {
    await sh(client, machine, 'mv /usr/bin/git /usr/bin/git.away');
    const missing = await refusal(client.call('git_status', { workspace_id: machine, path }));
    await sh(client, machine, 'mv /usr/bin/git.away /usr/bin/git');
    expect(missing.code).toBe('not_started');
    expect(missing.next).toContain('apt-get install git');
    const nowhere = client.call('git_status', { workspace_id: machine, path: '/nowhere' });
    expect((await refusal(nowhere)).code).toBe('file_not_found');
  });
});
