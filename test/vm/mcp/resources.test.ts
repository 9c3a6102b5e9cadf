/** Workspaces, files, logs and snapshots as resources; names to complete; patterns of work as prompts. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CoppiceClient } from '../../../helper-daemon/client/client.ts';
import { prompts } from '../../../helper-daemon/mcp/prompts/catalogue.ts';
import { connectAgent, type Agent } from '../support/agentClient.ts';
import { startTestDaemon, type TestDaemon } from '../support/testDaemon.ts';

let daemon: TestDaemon;
let person: CoppiceClient;
let agent: Agent;
const updated: string[] = [];
let listChanges = 0;

beforeAll(async () => {
  daemon = await startTestDaemon();
  person = await daemon.connect();
  agent = await connectAgent(daemon, 'alice');
  agent.client.setNotificationHandler('notifications/resources/updated', ({ params }) => {
    updated.push(params.uri);
  });
  agent.client.setNotificationHandler('notifications/resources/list_changed', () => {
    listChanges += 1;
  });
  await agent.ok('workspace_create', { name: 'box', vcpus: 1, memory_mb: 256 });
});

afterAll(async () => {
  await agent?.close();
  await daemon?.dispose();
});

async function read(uri: string) {
  const [content, ...more] = (await agent.client.readResource({ uri })).contents;
  expect(more).toEqual([]);
  expect(content?.uri).toBe(uri);
  return content as { readonly mimeType?: string; readonly text?: string; readonly blob?: string };
}

async function json(uri: string): Promise<unknown> {
  const { text, mimeType } = await read(uri);
  expect(mimeType).toBe('application/json');
  return JSON.parse(text ?? '');
}

async function run(command: string): Promise<void> {
  expect(await agent.ok('exec', { workspace_id: 'box', command })).toMatchObject({ exit_code: 0 });
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await delay(20);
}

describe('resources', () => {
  it('are listed: all workspaces, each of them, and the audit', async () => {
    const { resources } = await agent.client.listResources();
    expect(resources.map(({ uri }) => uri)).toEqual([
      'coppice://workspaces',
      'coppice://audit',
      'coppice://workspaces/box',
    ]);
    const { resourceTemplates } = await agent.client.listResourceTemplates();
    expect(resourceTemplates.map(({ uriTemplate }) => uriTemplate)).toContain(
      'coppice://workspaces/{name}/files/{+path}',
    );
  });

  it('show workspaces, by name and by id', async () => {
    const [listed] = (await json('coppice://workspaces')) as { workspace_id: string }[];
    expect(listed).toMatchObject({ name: 'box', state: 'running' });
    const byName = await json('coppice://workspaces/box');
    expect(byName).toMatchObject({ name: 'box', init: 'agent' });
    expect(await json(`coppice://workspaces/${listed?.workspace_id ?? ''}`)).toMatchObject({
      name: 'box',
    });
  });

  it('show the console', async () => {
    await run('echo something went wrong > /dev/console');
    const { text, mimeType } = await read('coppice://workspaces/box/logs');
    expect(mimeType).toBe('text/plain');
    expect(text).toMatch(/something went wrong/);
  });

  it('show the snapshot tree', async () => {
    await agent.ok('snapshot', { workspace_id: 'box', action: 'create', name: 'first' });
    expect(await json('coppice://workspaces/box/snapshots')).toMatchObject({
      snapshots: [{ name: 'first', parent: null }],
    });
  });

  it('show the audit', async () => {
    const { rows } = (await json('coppice://audit')) as { rows: { operation: string }[] };
    expect(rows.map(({ operation }) => operation)).toContain('workspace_create');
  });

  it('show text files as text, others as bytes, and directories as lists', async () => {
    await run("mkdir -p '/data/a b' && printf 'grüße\\n' > '/data/a b/t.txt'");
    await run("printf '\\377\\000\\001' > /data/raw && touch /data/empty");
    const spelled = 'coppice://workspaces/box/files/data/a%20b/t.txt';
    expect(await read(spelled)).toMatchObject({ mimeType: 'text/plain', text: 'grüße\n' });
    expect(await read('coppice://workspaces/box/files//data/empty')).toMatchObject({ text: '' });
    expect(await read('coppice://workspaces/box/files//data/raw')).toMatchObject({
      mimeType: 'application/octet-stream',
      blob: Buffer.from([255, 0, 1]).toString('base64'),
    });
    const entries = (await json('coppice://workspaces/box/files/data')) as { name: string }[];
    expect(entries.map(({ name }) => name).sort()).toEqual(['a b', 'empty', 'raw']);
    expect((await read('coppice://workspaces/box/files/proc/version')).text).toMatch(/^Linux/);
  });

  it('refuse what is too large, and say how to get it', async () => {
    await run('truncate -s 5M /data/large');
    await expect(read('coppice://workspaces/box/files/data/large')).rejects.toThrow(
      /5242880 bytes.*4194304.*file_read/,
    );
    await run('truncate -s 4M /data/large');
    const { blob = '' } = await read('coppice://workspaces/box/files/data/large');
    expect(Buffer.from(blob, 'base64').length).toBe(4 * 1024 * 1024);
  });

  it('that are not there are named', async () => {
    for (const uri of [
      'coppice://workspaces/nobody',
      'coppice://workspaces/box/files/no/such/file',
      'coppice://workspaces/box/nonsense',
      'coppice://workspaces/../audit',
      'file:///etc/passwd',
      'coppice://workspaces/box/files/%zz',
    ]) {
      await expect(read(uri), uri).rejects.toMatchObject({ code: -32602, data: { uri } });
    }
  });

  it('of others stay theirs', async () => {
    const stranger = await connectAgent(daemon, 'mallory');
    const uri = 'coppice://workspaces/box/files/etc/hostname';
    await expect(stranger.client.readResource({ uri })).rejects.toMatchObject({
      data: { code: 'not_owned' },
    });
    await stranger.close();
  });
});

describe('changes', () => {
  it('are told of resources that were subscribed to, and of no others', async () => {
    await agent.client.subscribeResource({ uri: 'coppice://workspaces/box/snapshots' });
    updated.length = 0;
    await agent.ok('snapshot', { workspace_id: 'box', action: 'create', name: 'second' });
    await until(() => updated.length > 0);
    expect(new Set(updated)).toEqual(new Set(['coppice://workspaces/box/snapshots']));

    await agent.client.unsubscribeResource({ uri: 'coppice://workspaces/box/snapshots' });
    await agent.client.subscribeResource({ uri: 'coppice://workspaces/box' });
    updated.length = 0;
    await agent.ok('snapshot', { workspace_id: 'box', action: 'create', name: 'third' });
    await person.call('workspace_pause', { workspace_id: 'box' });
    await until(() => updated.length > 0);
    expect(new Set(updated)).toEqual(new Set(['coppice://workspaces/box']));
    await person.call('workspace_resume', { workspace_id: 'box' });
  });

  it('of the list are told to those who have listed', async () => {
    await agent.client.listResources();
    const before = listChanges;
    await person.call('workspace_create', { name: 'other', vcpus: 1, memory_mb: 256 });
    await until(() => listChanges > before);
    const inBetween = listChanges;
    await person.call('workspace_destroy', { workspace_id: 'other' });
    await until(() => listChanges > inBetween);
  });

  it('reach clients of the newest revision through what they listen to', async () => {
    const newest = await connectAgent(daemon, 'alice', { newest: true });
    const heard: string[] = [];
    newest.client.setNotificationHandler('notifications/resources/updated', ({ params }) => {
      heard.push(params.uri);
    });
    const subscription = await newest.client.listen({
      resourceSubscriptions: ['coppice://workspaces/box/snapshots'],
    });
    // The first events may come before the server has begun to follow them.
    for (let turn = 0; heard.length === 0; turn += 1) {
      const name = `turn-${String(turn)}`;
      await agent.ok('snapshot', { workspace_id: 'box', action: 'create', name });
      await delay(200);
    }
    expect(new Set(heard)).toEqual(new Set(['coppice://workspaces/box/snapshots']));
    await subscription.close();
    await newest.close();
  });

  it('are not promised where there are none', async () => {
    const uri = 'coppice://workspaces/box/logs';
    await expect(agent.client.subscribeResource({ uri })).rejects.toThrow(/read it again/);
  });
});

describe('completion', () => {
  it('knows the names of workspaces, in resources and in prompts', async () => {
    const inResource = await agent.client.complete({
      ref: { type: 'ref/resource', uri: 'coppice://workspaces/{name}/logs' },
      argument: { name: 'name', value: 'b' },
    });
    expect(inResource.completion.values).toEqual(['box']);
    const inPrompt = await agent.client.complete({
      ref: { type: 'ref/prompt', name: 'checkpoint_loop' },
      argument: { name: 'workspace', value: 'x' },
    });
    expect(inPrompt.completion.values).toEqual([]);
    const elsewhere = await agent.client.complete({
      ref: { type: 'ref/prompt', name: 'checkpoint_loop' },
      argument: { name: 'goal', value: '' },
    });
    expect(elsewhere.completion.values).toEqual([]);
  });
});

describe('prompts', () => {
  it('are listed with their arguments and filled in with what is given', async () => {
    const listed = await agent.client.listPrompts();
    expect(listed.prompts.map(({ name }) => name)).toEqual(prompts.map(({ name }) => name));
    const { messages } = await agent.client.getPrompt({
      name: 'disposable_sandbox',
      arguments: { task: 'run setup.sh from the mail' },
    });
    expect(messages).toHaveLength(1);
    expect(messages[0]).toMatchObject({
      role: 'user',
      content: { type: 'text', text: expect.stringContaining('run setup.sh from the mail') },
    });
  });

  it('want what they cannot do without', async () => {
    await expect(agent.client.getPrompt({ name: 'disposable_sandbox' })).rejects.toThrow(
      /needs task/,
    );
    await expect(agent.client.getPrompt({ name: 'none' })).rejects.toThrow(/no prompt named/);
  });
});
