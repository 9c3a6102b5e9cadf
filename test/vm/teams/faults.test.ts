/** kill -9 of the daemon in the middle of what teams do, and machines that come and go under them. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { CoppiceClient } from '../../../helper-daemon/client/client.ts';
import { cliFor } from '../support/cliRunner.ts';
import { collectResults, makeGolden, startTeamBed, toolsOf, type TeamBed } from './teamBed.ts';

let bed: TeamBed;
let client: CoppiceClient;

beforeAll(async () => {
  bed = await startTeamBed();
  client = await bed.daemon.connect();
  await makeGolden(client);
});

afterAll(async () => {
  await bed.dispose();
});

afterEach(async () => {
  for (const { name } of (await client.call('team_list', {})).teams) {
    await client.call('team_destroy', { name });
  }
});

async function restart(): Promise<void> {
  await bed.daemon.kill();
  client.close();
  await bed.daemon.start();
  client = await bed.daemon.connect();
}

const names = async (): Promise<string[]> =>
  (await client.call('workspace_list', {})).map(({ name }) => name);

async function makeTeam(name: string, members: readonly string[]): Promise<string[]> {
  const made = await client.call('team_create', {
    name,
    role: members.map((member) => `${member}=worker`),
    golden_workspace: 'golden-base',
  });
  return made.member_workspace_ids;
}

async function assign(to: string, task: object): Promise<void> {
  await client.call('team_message', {
    name: 'squad',
    agent: 'a',
    to,
    content: JSON.stringify(task),
    message_type: 'task_assignment',
  });
}

describe('when the daemon is killed', () => {
  it('tasks go on in their machines and none runs twice or is forgotten', async () => {
    await makeTeam('squad', ['a', 'b']);
    for (let index = 1; index <= 6; index += 1) {
      await assign('b', {
        task_id: `t${String(index)}`,
        command: `echo run-${String(index)} >> /workspace/log; sleep 4; echo end-${String(index)}`,
      });
    }
    await client.call('team_message', { name: 'squad', agent: 'a', to: 'b', content: 'kept' });
    await expect
      .poll(
        async () => (await client.call('team_status', { name: 'squad' })).members[1]?.running_tasks,
        { timeout: 60_000 },
      )
      .toBe(4);
    await restart();
    const kept = await client.call('team_receive', { name: 'squad', agent: 'b', peek: true });
    expect(kept.messages.map(({ content }) => content)).toEqual(['kept']);
    await client.call('team_receive', {
      name: 'squad',
      agent: 'b',
      limit: 0,
      peek: true,
      ack: kept.messages.map(({ message_id }) => message_id),
    });
    const results = await collectResults(toolsOf(client), 'squad', 'b');
    expect([...results.values()].map(({ stdout }) => stdout).sort()).toEqual(
      [1, 2, 3, 4, 5, 6].map((index) => `end-${String(index)}\n`),
    );
    const ran = await client.call('exec', {
      workspace_id: 'squad.b',
      command: 'sort /workspace/log | tr "\\n" " "',
    });
    expect(ran.stdout).toBe('run-1 run-2 run-3 run-4 run-5 run-6 ');
  });

  it('a team that was being created is gone afterwards', async () => {
    const making = makeTeam('squad', ['a', 'b', 'c', 'd']).catch((error: unknown) => error);
    await expect.poll(async () => (await names()).length, { timeout: 60_000 }).toBeGreaterThan(1);
    await restart();
    await making;
    expect((await client.call('team_list', {})).count).toBe(0);
    expect(await names()).toEqual(['golden-base']);
    expect(bed.daemon.machines()).toHaveLength(1);
  });

  it('a team that was being destroyed is gone afterwards', async () => {
    await makeTeam('squad', ['a', 'b', 'c']);
    const destroying = client
      .call('team_destroy', { name: 'squad' })
      .catch((error: unknown) => error);
    await expect
      .poll(async () => (await client.call('team_list', {})).teams[0]?.state, { interval: 1 })
      .not.toBe('Ready');
    await restart();
    await destroying;
    expect((await client.call('team_list', {})).count).toBe(0);
    expect(await names()).toEqual(['golden-base']);
    expect(bed.daemon.machines()).toHaveLength(1);
  });
});

describe('a member whose machine', () => {
  it('is stopped keeps its tasks until it is started', async () => {
    const [, id = ''] = await makeTeam('squad', ['a', 'b']);
    await client.call('workspace_stop', { workspace_id: 'squad.b' });
    await assign('b', { task_id: 't', command: 'cat /proc/sys/kernel/hostname' });
    await delay(500);
    expect(await client.call('team_receive', { name: 'squad', agent: 'b' })).toMatchObject({
      daemon_pending_tasks: 1,
      daemon_results: [],
    });
    await client.call('workspace_start', { workspace_id: id });
    const results = await collectResults(toolsOf(client), 'squad', 'b');
    expect(results.get('t')).toMatchObject({
      success: true,
      stdout: expect.stringMatching(/^squad-b-/) as string,
    });
  });

  it('is suspended is woken for a new task, and one that was under way ends after it is resumed', async () => {
    await makeTeam('squad', ['a', 'b']);
    await assign('b', { task_id: 'long', command: 'sleep 3; echo slept' });
    await expect
      .poll(
        async () => (await client.call('team_status', { name: 'squad' })).members[1]?.running_tasks,
        { timeout: 60_000 },
      )
      .toBe(1);
    await client.call('workspace_suspend', { workspace_id: 'squad.b' });
    await delay(1500);
    expect(await client.call('team_status', { name: 'squad' })).toMatchObject({
      members: [{}, { workspace_state: 'suspended', pending_tasks: 1 }],
    });
    await assign('b', { task_id: 'short', command: 'echo woken' });
    const results = await collectResults(toolsOf(client), 'squad', 'b');
    expect(results.get('short')).toMatchObject({ success: true, stdout: 'woken\n' });
    expect(results.get('long')).toMatchObject({ success: true, stdout: 'slept\n' });
  });

  it('is destroyed has failed, and says so of its tasks', async () => {
    await makeTeam('squad', ['a', 'b']);
    await assign('b', { task_id: 't', command: 'sleep 1000' });
    await client.call('workspace_destroy', { workspace_id: 'squad.b' });
    const results = await collectResults(toolsOf(client), 'squad', 'b');
    expect(results.get('t')).toMatchObject({ exit_code: -1, stderr: 'Its machine is gone.' });
    const status = await client.call('team_status', { name: 'squad' });
    expect(status.members[1]).toMatchObject({
      agent_status: 'Failed',
      workspace_state: 'destroyed',
    });
    const card = await client.call('vault_read', { path: 'teams/squad/cards/b.json' });
    expect(JSON.parse(card.content)).toMatchObject({ status: 'failed' });
  });
});

describe('coppice team', () => {
  it('makes, shows, uses and destroys a team', async () => {
    const cli = cliFor(bed.daemon.home);
    const created = await cli.ok(
      ...['team', 'create', 'squad', '--golden', 'golden-base'],
      ...['--role', 'coder=developer', '-r', '{"name":"tester","role":"qa","skills":["rust"]}'],
    );
    expect(created).toMatch(/squad\.coder +squad-coder-[0-9a-f]{4}/);
    expect(await cli.ok('team', 'list')).toMatch(/squad +Ready +2 +10/);
    expect(await cli.ok('team', 'message', 'squad', 'coder', '*', 'ready')).toBe(
      'Sent to tester.\n',
    );
    expect(await cli.ok('team', 'status', 'squad')).toMatch(/tester +qa +Ready .*1 message/);
    expect(await cli.ok('team', 'receive', 'squad', 'tester')).toMatch(/coder .*\nready/);
    expect(await cli.ok('team', 'receive', 'squad', 'tester')).toBe('Nothing waits for tester.\n');
    expect(await cli.ok('exec', 'squad.coder', '--', 'hostname')).toMatch(/^squad-coder-/);
    const refused = await cli.run(['team', 'message', 'squad', 'coder', 'nobody', 'x']);
    expect(refused.stderr).toContain('has no member nobody');
    expect(await cli.ok('team', 'destroy', 'squad')).toMatch(/squad is gone, 2 machines with it/);
  });
});
