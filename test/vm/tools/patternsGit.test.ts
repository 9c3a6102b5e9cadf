/**
 * Patterns 6, 9, 11 and 12 of the agent workflow guide, call by call. What they fetch from the internet stands in
 * the machine itself: a git server with the repository, and small programs in place of npm, pip and opencode.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { connectAgent, type Agent } from '../support/agentClient.ts';
import { startTestDaemon, type TestDaemon } from '../support/testDaemon.ts';

const url = 'git://127.0.0.1/app.git';
const identity = '-c user.name=Seed -c user.email=seed@example.invalid';

let daemon: TestDaemon;
let agent: Agent;
let settings: string;

beforeAll(async () => {
  settings = mkdtempSync(path.join(os.tmpdir(), 'coppice-settings-'));
  const file = path.join(settings, 'config.toml');
  writeFileSync(file, '[rate_limit]\nenabled = false\n');
  daemon = await startTestDaemon('user', { env: { COPPICE_CONFIG: file } });
  agent = await connectAgent(daemon, 'patterns');
});
afterAll(async () => {
  await agent.close();
  await daemon.dispose();
  rmSync(settings, { recursive: true, force: true });
});
afterEach(async () => {
  await daemon.clean();
});

interface Done {
  readonly exit_code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function sh(workspace_id: string, command: string): Promise<Done> {
  const done = await agent.ok<Done>('exec', { workspace_id, command, timeout_secs: 120 });
  if (done.exit_code !== 0) throw new Error(`${command}: ${done.stdout}${done.stderr}`);
  return done;
}

/** A machine that finds in itself what the guide takes from the internet. */
async function machineWithServer(name: string): Promise<void> {
  await agent.ok('workspace_create', { name, vcpus: 1, memory_mb: 256 });
  for (const program of ['npm', 'pip', 'opencode']) {
    await agent.ok('file_write', {
      workspace_id: name,
      path: `/usr/local/bin/${program}`,
      content: `#!/bin/sh\necho "${program} $*"\n`,
      mode: '0755',
    });
  }
  await sh(
    name,
    `set -e; mkdir -p /srv/git /tmp/seed/src; cd /tmp/seed; git init -q -b main;
     printf '# Old Title\\n' > README.md; printf 'export const app = 1;\\n' > src/index.ts;
     git add -A; git ${identity} commit -qm first;
     for n in 1 2 3; do echo $n >> history.txt; git add -A; git ${identity} commit -qm "change $n"; done;
     git clone -q --bare . /srv/git/app.git; rm -rf /tmp/seed`,
  );
  await agent.ok('exec_background', {
    workspace_id: name,
    action: 'start',
    command:
      'git daemon --base-path=/srv/git --export-all --enable=receive-pack --reuseaddr --listen=127.0.0.1',
  });
  await sh(
    name,
    `for i in $(seq 100); do git ls-remote ${url} >/dev/null 2>&1 && exit 0; sleep 0.1; done; exit 1`,
  );
}

async function finished(workspace_id: string, job_id: number): Promise<Record<string, unknown>> {
  for (;;) {
    const state = await agent.ok('exec_background', {
      workspace_id,
      action: 'poll',
      job_id,
      wait_secs: 20,
    });
    if (state['running'] === false) return state;
  }
}

describe('the agent workflow guide', () => {
  it('pattern 6: git workflow', async () => {
    await machineWithServer('git-work');
    const at = { workspace_id: 'git-work', path: '/workspace/repo' };
    const cloned = await agent.ok('git_clone', { ...at, url });
    expect(cloned).toMatchObject({
      success: true,
      path: '/workspace/repo',
      url,
      branch: null,
      depth: null,
    });
    await agent.ok('file_edit', {
      workspace_id: 'git-work',
      path: '/workspace/repo/README.md',
      old_string: '# Old Title',
      new_string: '# New Title',
    });
    expect(await agent.ok('git_status', at)).toMatchObject({
      branch: 'main',
      staged: [],
      modified: ['README.md'],
      untracked: [],
      dirty: true,
    });
    const { diff } = await agent.ok<{ diff: string }>('git_diff', at);
    expect(diff).toContain('-# Old Title\n+# New Title');
    const commit = await agent.ok('git_commit', { ...at, message: 'Update title', add_all: true });
    expect(commit).toMatchObject({
      branch: 'main',
      summary: expect.stringContaining('Update title') as string,
    });
    expect(await agent.ok('git_push', at)).toMatchObject({
      remote: 'origin',
      branch: 'main',
      success: true,
    });
    const pushed = await sh('git-work', 'git -C /srv/git/app.git log -1 --format=%s main');
    expect(pushed.stdout).toBe('Update title\n');
  });

  it('pattern 9: parallel coding swarm', async () => {
    await machineWithServer('golden-myproject');
    const prepared = await agent.ok('workspace_prepare', {
      name: 'golden-myproject',
      git_url: url,
      setup_commands: ['cd /workspace && npm install', 'cd /workspace && npm run build'],
    });
    expect(prepared).toMatchObject({ name: 'golden-myproject', snapshot_name: 'golden' });
    const forked = await agent.ok<{ workers: { name: string }[]; success_count: number }>(
      'workspace_fork',
      {
        workspace_id: 'golden-myproject',
        snapshot_name: 'prepared',
        count: 3,
        name_prefix: 'worker',
      },
    );
    const workers = ['worker-1', 'worker-2', 'worker-3'];
    expect(forked.workers.map(({ name }) => name).sort()).toEqual(workers);
    const jobs = await Promise.all(
      workers.map(async (workspace_id, index) => {
        await agent.ok('set_env', {
          workspace_id,
          vars: { ANTHROPIC_API_KEY: 'sk-ant-not-a-key' },
        });
        const file = `src/feature${String(index)}.ts`;
        const { job_id } = await agent.ok<{ job_id: number }>('exec_background', {
          workspace_id,
          action: 'start',
          command: `cd /workspace && git checkout -b feat/${String(index)} && opencode run 'implement' 2>&1 | tee /tmp/task.log && test -n "$ANTHROPIC_API_KEY" && echo 'export {};' > ${file} && git add -A && git ${identity} commit -m 'feat ${String(index)}'`,
        });
        return { workspace_id, job_id };
      }),
    );
    for (const { workspace_id, job_id } of jobs) {
      expect(await finished(workspace_id, job_id)).toMatchObject({ running: false, exit_code: 0 });
    }
    const merged = await agent.ok('workspace_merge', {
      source_workspaces: workers,
      target_workspace: 'golden-myproject',
      strategy: 'branch-per-source',
      path: '/workspace',
      commit_message: 'Merge parallel swarm results',
    });
    expect(merged).toMatchObject({
      success: true,
      strategy: 'branch-per-source',
      merged_sources: workers,
      conflicts: [],
      total_commits_applied: 3,
    });
    const files = await sh('golden-myproject', 'cd /workspace && ls src && git status --porcelain');
    expect(files.stdout).toBe('feature0.ts\nfeature1.ts\nfeature2.ts\nindex.ts\n');
    for (const workspace_id of workers) await agent.ok('workspace_destroy', { workspace_id });
  });

  it('pattern 11: fork-and-merge feature development', async () => {
    await machineWithServer('golden-app');
    await agent.ok('workspace_prepare', {
      name: 'golden-app',
      git_url: url,
      setup_commands: ['cd /workspace && npm install'],
    });
    const features = ['feat-auth', 'feat-payments', 'feat-notifications'];
    for (const new_name of features) {
      const fork = await agent.ok('workspace_fork', {
        workspace_id: 'golden-app',
        snapshot_name: 'prepared',
        new_name,
      });
      expect(fork).toMatchObject({
        name: new_name,
        forked_from: { source_workspace_name: 'golden-app', snapshot_name: 'golden' },
      });
      const feature = new_name.slice(5);
      await sh(new_name, `cd /workspace && git checkout -b feat/${feature}`);
      await agent.ok('file_write', {
        workspace_id: new_name,
        path: `/workspace/src/${feature}.ts`,
        content: 'export function f(token: string): boolean {\n  return token !== "";\n}\n',
      });
      // The last two change the same line.
      if (feature !== 'auth') {
        await sh(
          new_name,
          `cd /workspace && echo 'export const app = "${feature}";' > src/index.ts`,
        );
      }
      await sh(
        new_name,
        `cd /workspace && git config user.name Worker && git config user.email w@example.invalid && git add -A && git commit -m 'feat: add ${feature}'`,
      );
      await sh(new_name, 'cd /workspace && npm test');
    }
    const merged = await agent.ok<{ results: Record<string, unknown>[] }>('workspace_merge', {
      source_workspaces: features,
      target_workspace: 'golden-app',
      strategy: 'branch-per-source',
      path: '/workspace',
      commit_message: 'Merge feature branches',
      on_conflict: 'leave',
    });
    expect(merged.results).toMatchObject([
      { source_id: 'feat-auth', success: true, commits_applied: 1 },
      { source_id: 'feat-payments', success: true, commits_applied: 1 },
      { source_id: 'feat-notifications', success: false, commits_applied: 0 },
    ]);
    expect(merged.results[2]?.['error']).toContain('src/index.ts');
    const unmerged = await sh(
      'golden-app',
      'cd /workspace && git diff --name-only --diff-filter=U',
    );
    expect(unmerged.stdout).toBe('src/index.ts\n');
    await sh(
      'golden-app',
      `cd /workspace && echo 'export const app = "both";' > src/index.ts && git add src/index.ts && git ${identity} commit -m 'resolve: merge conflict in index.ts'`,
    );
    const log = await sh('golden-app', 'cd /workspace && ls src && git log --oneline | wc -l');
    expect(log.stdout).toMatch(/^auth.ts\nindex.ts\nnotifications.ts\npayments.ts\n/);
  });

  it('pattern 12: research swarm with comparison', async () => {
    await machineWithServer('golden-cache-research');
    await agent.ok('workspace_prepare', {
      name: 'golden-cache-research',
      git_url: url,
      setup_commands: [
        'cd /workspace && pip install -r requirements.txt',
        'cd /workspace && pip install redis pytest-benchmark',
      ],
    });
    await agent.ok('workspace_fork', {
      workspace_id: 'golden-cache-research',
      snapshot_name: 'prepared',
      count: 3,
      name_prefix: 'approach',
    });
    const approaches = [
      ['approach-1', 'redis', 30],
      ['approach-2', 'lru', 10],
      ['approach-3', 'sqlite', 20],
    ] as const;
    const jobs = await Promise.all(
      approaches.map(async ([workspace_id, strategy, ms]) => {
        const { job_id } = await agent.ok<{ job_id: number }>('exec_background', {
          workspace_id,
          action: 'start',
          command: `cd /workspace && git checkout -b approach/${strategy} && echo '${strategy}' > cache.txt && git add -A && git ${identity} commit -qm 'cache: ${strategy}' && printf '{"latency_ms": ${String(ms)}}' > /tmp/results.json 2>&1`,
        });
        return { workspace_id, job_id };
      }),
    );
    for (const { workspace_id, job_id } of jobs) {
      expect(await finished(workspace_id, job_id)).toMatchObject({ exit_code: 0 });
    }
    const results = await Promise.all(
      approaches.map(async ([workspace_id]) => {
        const { text } = await agent.tool('file_read', { workspace_id, path: '/tmp/results.json' });
        return { workspace_id, ...(JSON.parse(text) as { latency_ms: number }) };
      }),
    );
    const winner = results.sort((a, b) => a.latency_ms - b.latency_ms)[0]?.workspace_id;
    expect(winner).toBe('approach-2');
    const merged = await agent.ok('workspace_merge', {
      source_workspaces: ['approach-2'],
      target_workspace: 'golden-cache-research',
      strategy: 'sequential',
      path: '/workspace',
    });
    expect(merged).toMatchObject({ success: true, total_commits_applied: 1 });
    const cache = await agent.tool('file_read', {
      workspace_id: 'golden-cache-research',
      path: '/workspace/cache.txt',
    });
    expect(cache.text).toBe('lru\n');
    for (const [workspace_id] of approaches) await agent.ok('workspace_destroy', { workspace_id });
  });
});
