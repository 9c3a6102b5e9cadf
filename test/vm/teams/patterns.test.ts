/** The team patterns of the workflow guide, step by step as it writes them. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { CoppiceClient } from '../../../helper-daemon/client/client.ts';
import { leftovers } from '../support/testDaemon.ts';
import { collectResults, makeGolden, startTeamBed, toolsOf, type TeamBed } from './teamBed.ts';

let bed: TeamBed;
let client: CoppiceClient;
let other: CoppiceClient;
let person: CoppiceClient;

beforeAll(async () => {
  bed = await startTeamBed();
  client = await bed.daemon.connect('test', 'claude');
  other = await bed.daemon.connect('test', 'codex');
  person = await bed.daemon.connect();
});

afterAll(async () => {
  await bed.dispose();
});

afterEach(async () => {
  for (const { name } of (await person.call('team_list', {})).teams) {
    await person.call('team_destroy', { name, purge: true });
  }
  await bed.daemon.clean();
});

interface Member {
  readonly name: string;
  readonly workspace_id: string;
  readonly ip: string | null;
  readonly workspace_state: string;
  readonly agent_status: string;
}

describe('pattern 8: a team of agents', () => {
  it('has a machine for each role, shares a board in the vault, and goes as a whole', async () => {
    const tool = toolsOf(client);
    const created = await tool('team', {
      action: 'create',
      name: 'review-team',
      roles: [
        { name: 'coder', role: 'developer', skills: ['rust', 'python'] },
        {
          name: 'reviewer',
          role: 'code_review',
          description: 'Reviews PRs and runs tests',
        },
        { name: 'researcher', role: 'research', skills: ['web_search'] },
      ],
    });
    expect(created).toMatchObject({
      action: 'create',
      name: 'review-team',
      state: 'Ready',
      member_count: 3,
      max_vms: 10,
    });
    const status = (await tool('team', { action: 'status', name: 'review-team' })) as {
      members: Member[];
    };
    expect(status).toMatchObject({
      action: 'status',
      name: 'review-team',
      state: 'Ready',
      members: ['coder', 'reviewer', 'researcher'].map((name) => ({
        name,
        ip: null,
        workspace_state: 'running',
        agent_status: 'Ready',
      })),
    });
    const ids = status.members.map(({ workspace_id }) => workspace_id);
    expect(created['member_workspace_ids']).toEqual(ids);
    for (const id of ids) {
      const ran = await tool('exec', { workspace_id: id, command: 'hostname' });
      expect(ran['stdout']).toMatch(/^review-team-/);
    }
    const policies = await Promise.all(
      ids.map(async (workspace_id) => {
        return (await client.call('network_info', { workspace_id })).network_policy;
      }),
    );
    expect(policies[0]).toMatchObject({
      internet: 'off',
      allow: [],
      allow_inter_vm: false,
      allowed_ports: [],
      team: expect.stringMatching(/^review-team\./) as string,
    });
    expect(policies[1]).toEqual(policies[0]);
    expect(policies[2]).toEqual(policies[0]);

    const card = await tool('vault', {
      action: 'read',
      path: 'teams/review-team/cards/reviewer.json',
    });
    expect(JSON.stringify(card)).toContain('Reviews PRs and runs tests');
    const task = 'teams/review-team/tasks/task-001.md';
    await tool('vault', {
      action: 'write',
      path: task,
      content:
        '---\nstatus: pending\npriority: high\nassigned_to: coder\ndepends_on: []\n---\n# Implement feature X\n\nWrite the implementation for feature X.',
    });
    expect(
      await tool('vault', {
        action: 'search',
        query: 'status: pending',
        path_prefix: 'teams/review-team/tasks',
      }),
    ).toMatchObject({ results: [{ path: task }] });
    await tool('vault', {
      action: 'frontmatter',
      path: task,
      frontmatter_action: 'set',
      key: 'status',
      value: 'completed',
    });
    expect(await tool('team', { action: 'list' })).toMatchObject({
      action: 'list',
      teams: [{ name: 'review-team', state: 'Ready', member_count: 3, max_vms: 10 }],
      count: 1,
    });
    expect(await tool('team', { action: 'destroy', name: 'review-team' })).toMatchObject({
      action: 'destroy',
      name: 'review-team',
      success: true,
    });
    expect(await person.call('workspace_list', {})).toEqual([]);
    expect(bed.daemon.machines()).toEqual([]);
    expect(leftovers(bed.daemon.paths)).toEqual([]);
    expect(await person.call('vault_read', { path: task })).toMatchObject({
      frontmatter: { status: 'completed' },
    });
  });
});

describe('pattern 10: code review in a team', () => {
  it('carries messages between an author and its reviewers, who are named team.member', async () => {
    const tool = toolsOf(client);
    await makeGolden(client);
    await tool('team', {
      action: 'create',
      name: 'review-squad',
      roles: [
        { name: 'author', role: 'developer', skills: ['rust', 'typescript'] },
        { name: 'reviewer-1', role: 'code_review', description: 'Reviews backend modules' },
        { name: 'reviewer-2', role: 'code_review', description: 'Reviews frontend modules' },
      ],
      golden_workspace: 'golden-base',
    });
    const author = await tool('exec', {
      workspace_id: 'review-squad.author',
      command:
        'cd /workspace/repo && git init -q -b main && git add . && git -c user.name=a -c user.email=a@b commit -qm one && git checkout -q -b feat/new-feature && hostname',
    });
    expect(author).toMatchObject({ exit_code: 0 });
    expect(author['stdout']).toMatch(/^review-squad-author-/);
    for (const reviewer of ['reviewer-1', 'reviewer-2']) {
      expect(
        await tool('team', {
          action: 'message',
          name: 'review-squad',
          agent: 'author',
          to: reviewer,
          content: `Ready for review, ${reviewer}.`,
        }),
      ).toMatchObject({ action: 'message', status: 'delivered', from: 'author', to: reviewer });
    }
    expect(
      await tool('team', { action: 'receive', name: 'review-squad', agent: 'reviewer-1' }),
    ).toMatchObject({
      action: 'receive',
      agent: 'reviewer-1',
      messages: [
        {
          from: 'author',
          to: 'reviewer-1',
          content: 'Ready for review, reviewer-1.',
          message_type: 'text',
        },
      ],
      count: 1,
      daemon_results: [],
      daemon_pending_tasks: 0,
    });
    const review = await tool('exec', {
      workspace_id: 'review-squad.reviewer-1',
      command: 'cat /workspace/repo/main.rs; test ! -e /workspace/repo/.git',
    });
    expect(review).toMatchObject({ exit_code: 0, stdout: 'fn main() {}\n' });
    expect(
      await tool('exec', { workspace_id: 'review-squad-reviewer-2', command: 'hostname' }),
    ).toMatchObject({ stdout: expect.stringMatching(/^review-squad-reviewer-2-/) as string });
    await tool('team', {
      action: 'message',
      name: 'review-squad',
      agent: 'reviewer-1',
      to: 'author',
      content: 'LGTM on src/api/. Issue in src/db/pool.rs:42 — not closed on the error path.',
    });
    expect(
      await tool('team', { action: 'receive', name: 'review-squad', agent: 'author' }),
    ).toMatchObject({
      messages: [
        { from: 'reviewer-1', content: expect.stringContaining('pool.rs:42 —') as string },
      ],
    });
    // Another agent can see that there is a team, and neither use nor end it.
    const stranger = toolsOf(other);
    expect(await stranger('team', { action: 'list' })).toMatchObject({ count: 1 });
    await expect(
      stranger('exec', { workspace_id: 'review-squad.author', command: 'true' }),
    ).rejects.toMatchObject({ code: 'not_owned' });
    await expect(
      stranger('team', { action: 'receive', name: 'review-squad', agent: 'author' }),
    ).rejects.toMatchObject({ code: 'not_owned', kind: 'invalid_request' });
    await expect(
      stranger('team', { action: 'destroy', name: 'review-squad' }),
    ).rejects.toMatchObject({ code: 'not_owned', kind: 'invalid_request' });
    await tool('team', { action: 'destroy', name: 'review-squad' });
    expect((await person.call('workspace_list', {})).map(({ name }) => name)).toEqual([
      'golden-base',
    ]);
  });
});

describe('pattern 13: tasks for members', () => {
  it('runs what is assigned in the machine of each, four at a time, and keeps the results', async () => {
    const tool = toolsOf(client);
    await makeGolden(client);
    await tool('team', {
      action: 'create',
      name: 'build-team',
      roles: [
        { name: 'coordinator', role: 'orchestrator' },
        { name: 'worker-1', role: 'builder', skills: ['rust'] },
        { name: 'worker-2', role: 'builder', skills: ['python'] },
      ],
      golden_workspace: 'golden-base',
    });
    const assign = (to: string, content: object): Promise<Record<string, unknown>> =>
      tool('team', {
        action: 'message',
        name: 'build-team',
        agent: 'coordinator',
        to,
        content: JSON.stringify(content),
        message_type: 'task_assignment',
      });
    const sent = await assign('worker-1', {
      task_id: 'rust-tests',
      command: 'pwd; echo "$RUST_BACKTRACE"; hostname; echo oops >&2; exit 3',
      workdir: '/workspace/repo',
      env: { RUST_BACKTRACE: '1' },
      timeout_secs: 120,
    });
    await assign('worker-2', { task_id: 'python-tests', command: 'pwd', timeout_secs: 60 });
    await assign('worker-2', {
      task_id: 'hangs',
      command: '(sleep 1000; touch /tmp/survived) & echo begun; sleep 1000',
      timeout_secs: 2,
    });
    await assign('worker-2', { task_id: 'loud', command: 'yes äöü | head -c 100000' });
    await assign('worker-2', { task_id: 'nowhere', command: 'true', workdir: '/not/there' });
    // Each waits for the one before it: all run, whatever the queue does with them.
    for (let index = 0; index < 6; index += 1) {
      await assign('worker-2', {
        task_id: `step-${String(index)}`,
        command: `echo ${String(index)} >> /workspace/steps; sleep 0.3`,
      });
    }
    const first = await collectResults(tool, 'build-team', 'worker-1');
    expect(first.get('rust-tests')).toMatchObject({
      success: false,
      exit_code: 3,
      stdout: expect.stringMatching(/^\/workspace\/repo\n1\nbuild-team-worker-1-/) as string,
      stderr: 'oops\n',
      source_message_id: sent['message_id'],
    });
    const second = await collectResults(tool, 'build-team', 'worker-2');
    expect([...second.keys()].sort()).toEqual([
      'hangs',
      'loud',
      'nowhere',
      'python-tests',
      'step-0',
      'step-1',
      'step-2',
      'step-3',
      'step-4',
      'step-5',
    ]);
    expect(second.get('python-tests')).toMatchObject({ success: true, stdout: '/workspace\n' });
    expect(second.get('hangs')).toMatchObject({
      success: false,
      exit_code: -1,
      timed_out: true,
      stdout: 'begun\n',
    });
    const loud = second.get('loud')?.stdout ?? '';
    expect(loud.endsWith('... (truncated)')).toBe(true);
    expect(loud).not.toContain('\ufffd');
    expect(Buffer.byteLength(loud)).toBeLessThanOrEqual(4096 + '... (truncated)'.length);
    expect(second.get('nowhere')).toMatchObject({ success: false, exit_code: -1 });
    expect(second.get('nowhere')?.stderr).toContain('/not/there');
    const left = await tool('exec', {
      workspace_id: 'build-team.worker-2',
      command: 'sort /workspace/steps | tr "\\n" " "; pgrep -x sleep; ls /tmp/survived',
    });
    expect(left['stdout']).toBe('0 1 2 3 4 5 ');
    expect(await client.call('process_list', { workspace_id: 'build-team.worker-2' })).toEqual([]);
  });
});
