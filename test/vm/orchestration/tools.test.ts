/** workspace_prepare and swarm_run as agents use them: over MCP. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { connectAgent } from '../support/agentClient.ts';
import { openToolBed, sh, small, type ToolBed } from '../tools/toolBed.ts';

interface SwarmReply {
  readonly swarm_id: string;
  readonly state: string;
  readonly ended_at: string | null;
  readonly tasks: readonly {
    readonly name: string;
    readonly success: boolean;
    readonly exit_code: number;
    readonly stdout: string;
    readonly stderr: string;
    readonly workspace_id: string | null;
  }[];
  readonly summary: Readonly<Record<string, unknown>>;
  readonly merge?: { readonly target_workspace: string; readonly detail?: string };
}

let bed: ToolBed;

beforeAll(async () => {
  bed = await openToolBed();
});
afterEach(async () => {
  await bed.daemon.clean();
});
afterAll(async () => {
  await bed.dispose();
});

/** A prepared repository with a history of several commits. */
async function prepareRepository(): Promise<void> {
  const commit = 'git -c user.name=n -c user.email=n@example.invalid commit -qm';
  await bed.agent.ok('workspace_prepare', {
    name: 'gold',
    ...small,
    setup_commands: [
      `mkdir -p /workspace && cd /workspace && git init -q -b main && echo 1 > base && git add . && ${commit} one`,
      `cd /workspace && echo 2 >> base && ${commit} two -a`,
    ],
  });
}

function committing(file: string): string {
  return `echo ${file} > ${file} && git add . && git -c user.name=w -c user.email=w@example.invalid commit -qm ${file}`;
}

describe('workspace_prepare over MCP', () => {
  it('gives what the contract says, then the same at once, and says in whose fault a failure is', async () => {
    const input = { name: 'gold', ...small, setup_commands: ['true'] };
    const first = await bed.agent.tool('workspace_prepare', input);
    expect(JSON.parse(first.text)).toMatchObject({
      name: 'gold',
      snapshot_name: 'golden',
      snapshot_id: expect.any(String) as string,
      ip: null,
    });
    expect(await bed.agent.ok('workspace_prepare', input)).toMatchObject({
      workspace_id: first.structured['workspace_id'],
      snapshot_name: 'golden',
      reused_existing: true,
    });
    const failure = await bed.agent.failure('workspace_prepare', {
      name: 'bad',
      ...small,
      setup_commands: ['exit 9'],
    });
    expect(failure).toMatchObject({ kind: 'internal_error', code: 'command_failed' });
    expect(failure.message).toContain('setup command 1/1 failed (exit 9)');
    const url = { name: 'bad', git_url: 'https://h/a;reboot' };
    expect(await bed.agent.failure('workspace_prepare', url)).toMatchObject({
      kind: 'invalid_params',
    });
    // Another agent that is at work keeps its name.
    expect(await bed.other.ok('workspace_prepare', input)).toMatchObject({ name: 'gold-2' });
  });
});

describe('swarm_run over MCP', () => {
  it('merges what the successful workers committed into the golden workspace and clears up', async () => {
    await prepareRepository();
    const reply = await bed.agent.ok<SwarmReply>('swarm_run', {
      golden_workspace: 'gold',
      snapshot_name: 'prepared',
      merge_strategy: 'sequential',
      tasks: [
        { name: 'b', command: committing('second') },
        { name: 'a', command: committing('first') },
        { name: 'c', command: `${committing('never')}; exit 1` },
      ],
    });
    expect(reply.tasks.map(({ name, success }) => [name, success])).toEqual([
      ['a', true],
      ['b', true],
      ['c', false],
    ]);
    expect(reply.summary).toMatchObject({ total_tasks: 3, succeeded: 2, workers_destroyed: 3 });
    expect(reply.merge?.target_workspace).toBe('gold');
    expect(JSON.parse(reply.merge?.detail ?? '')).toMatchObject({
      success: true,
      total_commits_applied: 2,
      merged_sources: [`${reply.swarm_id}-b`, `${reply.swarm_id}-a`],
    });
    expect(await sh(bed.agent, 'gold', 'git log --format=%s; git status --porcelain; ls')).toBe(
      'first\nsecond\ntwo\none\nbase\nfirst\nsecond',
    );
    const list = JSON.parse((await bed.agent.tool('workspace_list')).text) as unknown[];
    expect(list).toHaveLength(1);
  });

  it('is waited for again after the client gave up, by its id and by its key, and acts once', async () => {
    await prepareRepository();
    const input = {
      golden_workspace: 'gold',
      tasks: [{ name: 'one', command: 'sleep 3; echo ran' }],
      idempotency_key: 'once',
    };
    const leaving = await connectAgent(bed.daemon, 'worker');
    await expect(leaving.tool('swarm_run', input, { timeout: 800 })).rejects.toThrow();
    await leaving.close();
    const again = await bed.agent.ok<SwarmReply>('swarm_run', input);
    expect(again.tasks).toMatchObject([{ success: true, stdout: 'ran\n' }]);
    const byId = await bed.agent.ok<SwarmReply>('swarm_run', { swarm_id: again.swarm_id });
    expect(byId).toEqual(again);
  });

  it('returns a handle without waiting, and tells its progress while it waits', async () => {
    await prepareRepository();
    const handle = await bed.agent.ok<SwarmReply>('swarm_run', {
      golden_workspace: 'gold',
      wait: false,
      tasks: [{ name: 'one', command: 'sleep 2' }],
    });
    expect(handle.ended_at).toBeNull();
    const said: string[] = [];
    await bed.agent.ok(
      'swarm_run',
      { swarm_id: handle.swarm_id },
      { onProgress: ({ message }) => said.push(message ?? '') },
    );
    expect(said.join('\n')).toContain('of 1 tasks ended');
    expect(await bed.other.failure('swarm_run', { swarm_id: handle.swarm_id })).toMatchObject({
      kind: 'invalid_request',
      code: 'not_owned',
    });
  });

  it('refuses what belongs to another, what is missing, and what there is not', async () => {
    await prepareRepository();
    const tasks = [{ name: 'one', command: 'true' }];
    await bed.other.ok('workspace_create', { name: 'theirs', ...small });
    const refused = async (input: Record<string, unknown>): Promise<string> =>
      (await bed.agent.failure('swarm_run', { golden_workspace: 'gold', tasks, ...input })).kind;
    expect(await refused({ merge_strategy: 'sequential', merge_target: 'theirs' })).toBe(
      'invalid_request',
    );
    expect(await refused({ golden_workspace: 'theirs' })).toBe('invalid_request');
    expect(await refused({ mcp_bridge: true })).toBe('invalid_request');
    expect(await refused({ snapshot_name: 'none' })).toBe('invalid_request');
    expect(await refused({ tasks: [] })).toBe('invalid_params');
    expect(await refused({ max_parallel: 0 })).toBe('invalid_params');
    expect(await bed.agent.failure('swarm_run', { golden_workspace: 'gold' })).toMatchObject({
      kind: 'invalid_params',
    });
    const list = JSON.parse((await bed.agent.tool('workspace_list')).text) as { name: string }[];
    expect(list.map(({ name }) => name).sort()).toEqual(['gold', 'theirs']);
  });

  it('gives workers what the vault knows', async () => {
    await prepareRepository();
    await bed.agent.ok('vault', {
      action: 'write',
      path: 'notes/widgets.md',
      content: '# Widgets\nAll widgets are blue.\n',
    });
    const { tasks } = await bed.agent.ok<SwarmReply>('swarm_run', {
      golden_workspace: 'gold',
      vault_context: [{ query: 'widgets are' }, { kind: 'read', query: 'notes/widgets.md' }],
      tasks: [{ name: 'one', command: 'cat /tmp/.vault-context' }],
    });
    expect(tasks[0]?.stdout).toContain('### Search: "widgets are"');
    expect(tasks[0]?.stdout).toContain('notes/widgets.md:2');
    expect(tasks[0]?.stdout).toContain('### notes/widgets.md');
  });
});
