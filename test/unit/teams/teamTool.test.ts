import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import type { OperationName } from '../../../protocol/operations.ts';
import { operations } from '../../../protocol/operations.ts';
import { runTool, toolInput, type CallOperation } from '../../../protocol/tool.ts';
import { teamTool } from '../../../protocol/tools/team.ts';
import { temporaryDatabase } from '../store/temporaryDatabase.ts';
import { claude, teamScene, type Scene } from './teamScene.ts';

const database = temporaryDatabase();

type Tool = (input: Record<string, unknown>) => Promise<Record<string, unknown>>;

/** The tool over a scene; inputs are checked as the daemon checks them. */
function toolOver({ teams }: Scene): Tool {
  const signal = new AbortController().signal;
  const handlers: Partial<Record<OperationName, (input: never) => unknown>> = {
    team_create: (input) =>
      teams.create(input, { caller: claude, signal, progress: () => undefined }),
    team_destroy: (input) => teams.destroy(input, claude),
    team_status: ({ name }: { name: string }) => teams.status(name),
    team_list: () => teams.list(),
    team_message: (input) => teams.message(input, claude),
    team_receive: (input) => teams.receive(input, claude),
  };
  const call = (async (name: OperationName, input: unknown) =>
    handlers[name]?.(operations[name].input.parse(input) as never)) as CallOperation;
  return async (input) => {
    const { text, structured } = await runTool(teamTool, input, call);
    expect(JSON.parse(text)).toEqual(structured);
    return structured;
  };
}

const roles = [
  { name: 'a', role: 'worker', skills: null, description: null },
  { name: 'b', role: 'worker' },
];

describe('the team tool', () => {
  it('answers every action in the shape of the contract', async () => {
    const scene = teamScene(database.db);
    const tool = toolOver(scene);
    const create = await tool({ action: 'create', name: 'squad', roles, parent_team: null });
    expect(create).toMatchObject({ action: 'create', name: 'squad', state: 'Ready', max_vms: 10 });
    expect(create).toMatchObject({
      member_count: 2,
      member_workspace_ids: [...scene.machines.all.keys()],
    });
    const status = await tool({ action: 'status', name: 'squad' });
    expect(Object.keys(status)).toEqual(
      expect.arrayContaining(['action', 'name', 'state', 'created_at', 'members']),
    );
    expect(await tool({ action: 'list' })).toMatchObject({
      action: 'list',
      teams: [{ name: 'squad', state: 'Ready', member_count: 2, max_vms: 10 }],
      count: 1,
    });
    const sent = await tool({
      action: 'message',
      name: 'squad',
      agent: 'a',
      to: '*',
      content: 'hello',
    });
    expect(sent).toMatchObject({ action: 'message', status: 'delivered', from: 'a', to: '*' });
    expect(await tool({ action: 'receive', name: 'squad', agent: 'b' })).toMatchObject({
      action: 'receive',
      agent: 'b',
      messages: [{ message_id: sent['message_id'], from: 'a', to: 'b', content: 'hello' }],
      count: 1,
      daemon_results: [],
      daemon_pending_tasks: 0,
    });
    expect(await tool({ action: 'destroy', name: 'squad' })).toMatchObject({
      action: 'destroy',
      name: 'squad',
      success: true,
    });
  });

  it.each([
    [{}, 'action'],
    [{ action: 'create', name: 'squad' }, 'needs roles'],
    [{ action: 'create', name: 'squad', roles: [] }, 'at least one role'],
    [{ action: 'create', name: '-squad', roles }, 'name'],
    [{ action: 'status' }, 'needs name'],
    [{ action: 'message', name: 'squad', agent: 'a' }, 'needs to, content'],
    [{ action: 'receive', name: 'squad' }, 'needs agent'],
    [{ action: 'receive', name: 'squad', agent: 'a', limit: -1 }, 'limit'],
  ])('refuses %j as invalid parameters', async (input, message) => {
    await expect(toolOver(teamScene(database.db))(input)).rejects.toMatchObject({
      kind: 'invalid_params',
      message: expect.stringContaining(message) as string,
    });
  });

  it('fails as the contract says: invalid request for messages, internal error for teams', async () => {
    const tool = toolOver(teamScene(database.db));
    await tool({ action: 'create', name: 'squad', roles });
    await expect(tool({ action: 'create', name: 'squad', roles })).rejects.toMatchObject({
      kind: 'internal_error',
      code: 'name_taken',
    });
    for (const input of [
      { action: 'message', name: 'squad', agent: 'a', to: 'nobody', content: 'x' },
      { action: 'message', name: 'squad', agent: 'a', to: 'b', content: 'x'.repeat(300_000) },
      { action: 'receive', name: 'squad', agent: 'nobody' },
    ]) {
      await expect(tool(input)).rejects.toMatchObject({ kind: 'invalid_request' });
    }
  });

  it('describes an object that only needs an action', () => {
    const schema = z.toJSONSchema(toolInput(teamTool), { io: 'input' });
    expect(schema).toMatchObject({ type: 'object', required: ['action'] });
    expect(Object.keys(schema.properties ?? {})).toEqual(
      expect.arrayContaining([
        ...['name', 'roles', 'max_vms', 'golden_workspace', 'base_snapshot', 'parent_team'],
        ...['agent', 'to', 'content', 'message_type', 'limit', 'idempotency_key'],
      ]),
    );
    expect(schema.properties).not.toHaveProperty('role');
  });
});
