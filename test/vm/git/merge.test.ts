/** workspace_merge between real machines, and what a daemon that is killed in it leaves. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { CoppiceClient } from '../../../helper-daemon/client/client.ts';
import { mergeStrategies } from '../../../protocol/operations/merge.ts';
import { runTool } from '../../../protocol/tool.ts';
import { workspaceMergeTool } from '../../../protocol/tools/git.ts';
import { cliFor } from '../support/cliRunner.ts';
import { startTestDaemon, type TestDaemon } from '../support/testDaemon.ts';
import { refusal, sh } from '../support/workspaceSteps.ts';

let daemon: TestDaemon;
let client: CoppiceClient;
let base: string;

const as = "git -c user.name=a -c user.email='a@b'";
const commit = (message: string): string => `git add -A && ${as} commit -q -m '${message}'`;

beforeAll(async () => {
  daemon = await startTestDaemon();
  client = await daemon.connect();
  await client.call('workspace_create', { name: 'golden', vcpus: 1, memory_mb: 256 });
  await sh(
    client,
    'golden',
    `cd /workspace && git init -q -b main && echo base > shared.txt && ${commit('base')}`,
  );
  base = await sh(client, 'golden', 'git -C /workspace rev-parse HEAD');
  await client.call('workspace_fork', { workspace_id: 'golden', count: 2, name_prefix: 'feat' });
  await sh(
    client,
    'feat-1',
    `cd /workspace && head -c 300000 /dev/urandom > big.bin && ${commit('binary')} && echo one > one.txt && ${commit('one')}`,
  );
  await sh(
    client,
    'feat-2',
    `cd /workspace && echo theirs > shared.txt && ${commit('theirs')} && echo left > left.txt`,
  );
});

afterAll(() => daemon.dispose());

beforeEach(async () => {
  await sh(
    client,
    'golden',
    `cd /workspace && git merge --abort 2>/dev/null; git reset -q --hard ${base} && git clean -qfd && git branch --format='%(refname:short)' | grep -v '^main$' | xargs -r git branch -qD`,
  );
});

/** Everything a merge could have left in a machine. */
async function traces(machine: string): Promise<string> {
  return await sh(
    client,
    machine,
    `cd /workspace && git status --porcelain --untracked-files=no; git for-each-ref refs/coppice; git worktree list | tail -n +2; cd .git && ls -d MERGE_HEAD CHERRY_PICK_HEAD sequencer coppice worktrees 2>/dev/null; find . -name '*.lock'`,
  );
}

async function snapshots(): Promise<string[]> {
  const tree = await client.call('snapshot_list', { workspace_id: 'golden' });
  return tree.snapshots.filter(({ implicit }) => !implicit).map(({ name }) => name);
}

const input = { source_workspaces: ['feat-1'], target_workspace: 'golden' };

describe.each(mergeStrategies)('workspace_merge with %s', (strategy) => {
  it('brings what does not conflict, names what does, and keeps a way back', async () => {
    await sh(client, 'golden', `cd /workspace && echo ours > shared.txt && ${commit('ours')}`);
    const before = await sh(client, 'golden', 'git -C /workspace rev-parse HEAD');
    const reply = await runTool(
      workspaceMergeTool,
      { ...input, source_workspaces: ['feat-1', 'feat-2'], strategy },
      (name, operation) => client.call(name, operation),
    );
    const result = workspaceMergeTool.output.parse(JSON.parse(reply.text));
    expect(result).toMatchObject({
      success: false,
      strategy,
      total_commits_applied: 2,
      merged_sources: ['feat-1'],
      conflicts: [{ source_id: 'feat-2', files: ['shared.txt'] }],
      target_head_before: before,
    });
    expect(result.results[1]).toMatchObject({ uncommitted: ['left.txt'], commits_applied: 0 });
    expect(await sh(client, 'golden', 'git -C /workspace rev-parse HEAD')).toBe(
      result.target_head_after,
    );
    const sum = 'sha256sum < /workspace/big.bin';
    expect(await sh(client, 'golden', sum)).toBe(await sh(client, 'feat-1', sum));
    for (const machine of ['golden', 'feat-1', 'feat-2']) expect(await traces(machine)).toBe('');
    expect(await snapshots()).toContain(result.rollback_snapshot);
    expect(await client.call('process_list', { workspace_id: 'golden' })).toEqual([]);
  });
});

describe('workspace_merge', () => {
  it('reads well on the command line, and previews change nothing', async () => {
    const cli = cliFor(daemon.home);
    const before = await snapshots();
    const preview = await cli.ok('merge', 'golden', 'feat-1', '-s', 'sequential', '--preview');
    expect(preview).toContain('golden would get 2 commits of 1 source; nothing was changed.');
    expect(preview).toContain('added big.bin');
    expect(await sh(client, 'golden', 'git -C /workspace rev-parse HEAD')).toBe(base);
    expect(await traces('golden')).toBe('');
    expect(await snapshots()).toEqual(before);
  });

  it('takes no snapshot where none is wanted, and brings uncommitted work where it is', async () => {
    const before = await snapshots();
    const result = await client.call('workspace_merge', {
      source_workspaces: ['feat-2'],
      target_workspace: 'golden',
      strategy: 'sequential',
      include_uncommitted: true,
      rollback_snapshot: false,
    });
    expect(result).toMatchObject({ success: true, total_commits_applied: 2 });
    expect(result.rollback_snapshot).toBeNull();
    expect(await sh(client, 'golden', 'cat /workspace/left.txt')).toBe('left');
    expect(await sh(client, 'feat-2', 'git -C /workspace status --porcelain')).toBe('?? left.txt');
    expect(await snapshots()).toEqual(before);
  });

  it('does one merge into a target after the other', async () => {
    const both = await Promise.all(
      ['feat-1', 'feat-2'].map((source) =>
        client.call('workspace_merge', {
          source_workspaces: [source],
          target_workspace: 'golden',
          strategy: 'branch-per-source',
          rollback_snapshot: false,
        }),
      ),
    );
    expect(both.map(({ success }) => success)).toEqual([true, true]);
    expect(await sh(client, 'golden', 'git -C /workspace rev-list --merges --count HEAD')).toBe(
      '2',
    );
  });

  it('fails for a source that is stopped, and for itself', async () => {
    await client.call('workspace_stop', { workspace_id: 'feat-2' });
    const result = await client.call('workspace_merge', {
      source_workspaces: ['feat-2', 'feat-1'],
      target_workspace: 'golden',
      strategy: 'sequential',
      rollback_snapshot: false,
    });
    await client.call('workspace_start', { workspace_id: 'feat-2' });
    expect(result.merged_sources).toEqual(['feat-1']);
    expect(result.conflicts[0]?.error).toContain('not running');
    const itself = client.call('workspace_merge', {
      source_workspaces: ['golden'],
      target_workspace: 'golden',
      strategy: 'sequential',
    });
    expect((await refusal(itself)).code).toBe('invalid_input');
  });

  it('leaves nothing when it is cancelled', async () => {
    const abort = new AbortController();
    const call = client.call(
      'workspace_merge',
      { ...input, strategy: 'sequential' },
      { signal: abort.signal, onProgress: () => abort.abort() },
    );
    expect((await refusal(call)).code).toBe('cancelled');
    expect(await sh(client, 'golden', 'git -C /workspace rev-parse HEAD')).toBe(base);
    expect(await traces('golden')).toBe('');
    expect(await traces('feat-1')).toBe('');
  });
});

describe('a daemon that is killed in a merge', () => {
  /** Ends with the merge interrupted and the next daemon done with it. */
  async function killedAt(message: RegExp): Promise<void> {
    let reached = (): void => undefined;
    const there = new Promise<void>((resolve) => (reached = resolve));
    const lost = refusal(
      client.call(
        'workspace_merge',
        { ...input, strategy: 'branch-per-source' },
        {
          onProgress: ({ message: said }) => {
            if (message.test(said)) reached();
          },
        },
      ),
    );
    await there;
    await daemon.kill();
    await lost;
    await daemon.start();
    client = await daemon.connect();
    // The next merge waits for what is left of this one.
    const again = await client.call('workspace_merge', {
      ...input,
      strategy: 'branch-per-source',
      preview: true,
    });
    expect(again.success).toBe(true);
    expect(await traces('golden')).toBe('');
    expect(await traces('feat-1')).toBe('');
    expect(await client.call('process_list', { workspace_id: 'golden' })).toEqual([]);
  }

  it('leaves the target as it was when that was before its one step', async () => {
    const before = await snapshots();
    await killedAt(/^Merging feat-1/);
    expect(await sh(client, 'golden', 'git -C /workspace rev-parse HEAD')).toBe(base);
    expect(await snapshots()).toEqual(before);
  });

  it('leaves it as it was or whole when that was in its one step', async () => {
    const before = await snapshots();
    await killedAt(/^Updating golden/);
    const head = await sh(client, 'golden', 'git -C /workspace rev-parse HEAD');
    if (head === base) {
      for (let tries = 0; tries < 50 && (await snapshots()).length > before.length; tries += 1) {
        await delay(100);
      }
      expect(await snapshots()).toEqual(before);
    } else {
      expect(await sh(client, 'golden', 'git -C /workspace log -1 --format=%s')).toBe(
        'Merge workspace feat-1',
      );
      expect(await sh(client, 'golden', 'cat /workspace/one.txt')).toBe('one');
      expect(await snapshots()).toHaveLength(before.length + 1);
    }
  });
});
