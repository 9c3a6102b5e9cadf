/** A real MCP client on the standard streams of `coppice mcp`. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { limits } from '../../../protocol/limits.ts';
import type { CoppiceClient } from '../../../helper-daemon/client/client.ts';
import { tools } from '../../../protocol/tools.ts';
import { connectAgent, type Agent } from '../support/agentClient.ts';
import { startTestDaemon, type TestDaemon } from '../support/testDaemon.ts';

const small = { vcpus: 1, memory_mb: 256 };

let daemon: TestDaemon;
let person: CoppiceClient;
let agent: Agent;

beforeAll(async () => {
  daemon = await startTestDaemon();
  person = await daemon.connect();
  agent = await connectAgent(daemon, 'alice');
  await agent.ok('workspace_create', { name: 'box', ...small });
});

afterAll(async () => {
  await agent?.close();
  await daemon?.dispose();
});

async function running(mark: string): Promise<boolean> {
  const { exit_code } = await person.call('exec', {
    workspace_id: 'box',
    command: `pgrep -f '^sleep ${mark}$'`,
  });
  return exit_code === 0;
}

async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await condition())) await delay(50);
}

describe('the tools', () => {
  it('are all listed, with schemas and what they may do', async () => {
    const { tools: listed } = await agent.client.listTools();
    expect(listed.map(({ name }) => name)).toEqual(tools.map(({ name }) => name));
    for (const tool of listed) {
      expect(tool.inputSchema.type).toBe('object');
      expect(tool.outputSchema?.type).toBe('object');
    }
    const of = (name: string) => listed.find((tool) => tool.name === name)?.annotations;
    expect(of('workspace_list')).toMatchObject({ readOnlyHint: true, destructiveHint: false });
    expect(of('workspace_destroy')).toMatchObject({ readOnlyHint: false, destructiveHint: true });
  });

  it('are few in the core toolset, and the others are unknown there', async () => {
    const lean = await connectAgent(daemon, 'lean', { args: ['--toolset', 'core'] });
    const { tools: listed } = await lean.client.listTools();
    const core = tools.filter(({ toolset }) => toolset === 'core').map(({ name }) => name);
    expect(listed.map(({ name }) => name)).toEqual(core);
    expect(core.length).toBeLessThan(tools.length);
    await expect(lean.tool('vault', { action: 'stats' })).rejects.toThrow(/no tool named "vault"/);
    await lean.close();
  });

  it('answer with one text and the structured result', async () => {
    const { text, structured } = await agent.tool('exec', {
      workspace_id: 'box',
      command: 'echo out; echo err >&2; exit 3',
    });
    expect(structured).toMatchObject({ exit_code: 3, stdout: 'out\n', stderr: 'err\n' });
    expect(JSON.parse(text)).toEqual(structured);
  });

  it('work the same over the newest revision of the protocol', async () => {
    const other = await connectAgent(daemon, 'alice', { newest: true });
    expect(other.client.getNegotiatedProtocolVersion()).toBe('2026-07-28');
    const result = await other.ok('exec', { workspace_id: 'box', command: 'echo hello' });
    expect(result).toMatchObject({ exit_code: 0, stdout: 'hello\n' });
    await other.close();
  });
});

describe('a failure', () => {
  it('is a result that says what, why, what next and which kind', async () => {
    const { text, structured, isError } = await agent.tool('exec', {
      workspace_id: 'nobody',
      command: 'true',
    });
    expect(isError).toBe(true);
    expect(structured).toMatchObject({
      error: { kind: 'invalid_request', jsonrpc_code: -32600, code: 'not_found' },
    });
    expect(text).toMatch(/There is no workspace nobody[^]*\nNext: .*workspace_list/);
  });

  it('of parameters names the parameter', async () => {
    expect(await agent.failure('exec', { workspace_id: 'box' })).toMatchObject({
      kind: 'invalid_params',
      jsonrpc_code: -32602,
      code: 'invalid_input',
      message: expect.stringContaining('command'),
    });
  });

  it('of the protocol itself is an error of the protocol', async () => {
    await expect(agent.tool('no_such_tool')).rejects.toMatchObject({ code: -32602 });
  });
});

describe('a long call', () => {
  it('says that it goes on to clients that ask, more each time', async () => {
    const seen: number[] = [];
    const messages: (string | undefined)[] = [];
    await agent.tool(
      'exec',
      { workspace_id: 'box', command: 'sleep 8' },
      {
        onProgress({ progress, message }) {
          seen.push(progress);
          messages.push(message);
        },
      },
    );
    expect(seen.length).toBeGreaterThan(0);
    expect(seen).toEqual([...new Set(seen)].sort((a, b) => a - b));
    expect(messages[0]).toMatch(/exec/);
  });

  it('tells of the steps of what it does', async () => {
    const messages: (string | undefined)[] = [];
    await agent.tool(
      'snapshot',
      { workspace_id: 'box', action: 'create', name: 'with-memory', include_memory: true },
      { onProgress: ({ message }) => messages.push(message) },
    );
    expect(messages.length).toBeGreaterThan(0);
    expect(messages.join('\n')).not.toMatch(/undefined/);
  });

  it('ends in the machine when the client cancels it', async () => {
    const cancel = new AbortController();
    const call = agent.tool(
      'exec',
      { workspace_id: 'box', command: 'exec sleep 77771' },
      { signal: cancel.signal },
    );
    const outcome = call.catch((error: unknown) => error);
    await until(() => running('77771'));
    cancel.abort();
    expect(await outcome).toBeInstanceOf(Error);
    await until(async () => !(await running('77771')));
    expect(await agent.ok('exec', { workspace_id: 'box', command: 'true' })).toMatchObject({
      exit_code: 0,
    });
  });
});

describe('who an agent is', () => {
  it('is the name it was given: the same in another session', async () => {
    const again = await connectAgent(daemon, undefined, {
      env: { COPPICE_SESSION: 'alice' },
      clientName: 'something else',
    });
    expect(await again.ok('exec', { workspace_id: 'box', command: 'true' })).toMatchObject({
      exit_code: 0,
    });
    await again.close();
  });

  it('is what the client calls itself otherwise, and others own nothing of it', async () => {
    const stranger = await connectAgent(daemon, undefined, { clientName: 'Some Editor (1.0)' });
    const failure = await stranger.failure('exec', { workspace_id: 'box', command: 'true' });
    expect(failure).toMatchObject({ code: 'not_owned' });
    expect(failure.message + (failure.next ?? '')).toMatch(/workspace_adopt/);
    await stranger.close();
  });

  it('must be a name', async () => {
    await expect(connectAgent(daemon, 'a/b')).rejects.toThrow(/--session is no name/);
  });
});

describe('the process', () => {
  const launcher = path.resolve(import.meta.dirname, '../../../bin/coppice');

  function start(name = 'raw') {
    const child = spawn(launcher, ['mcp', '--session', name], {
      env: { ...process.env, COPPICE_HOME: daemon.home },
    });
    let out = '';
    let said = '';
    child.stdout.on('data', (data: Buffer) => (out += data.toString()));
    child.stderr.on('data', (data: Buffer) => (said += data.toString()));
    const ended = once(child, 'exit') as Promise<[number | null, string | null]>;
    const messages = (): { id?: unknown; error?: { message: string }; result?: unknown }[] =>
      out
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as { id?: unknown });
    return {
      child,
      ended,
      messages,
      said: () => said,
      send: (message: unknown) => child.stdin.write(`${JSON.stringify(message)}\n`),
      answer: async (id: unknown) => {
        await until(() => messages().some((message) => message.id === id));
        return messages().find((message) => message.id === id);
      },
    };
  }

  const hello = {
    jsonrpc: '2.0',
    id: 1,
    method: 'initialize',
    params: {
      protocolVersion: '2025-06-18',
      capabilities: {},
      clientInfo: { name: 'raw', version: '0' },
    },
  };

  it('ends with its client and leaves machines and their programs alone', async () => {
    await agent.ok('exec_background', {
      workspace_id: 'box',
      action: 'start',
      command: 'exec sleep 77772',
    });
    const before = daemon.machines();
    const leaving = await connectAgent(daemon, 'alice');
    await leaving.ok('workspace_info', { workspace_id: 'box' });
    const pid = leaving.pid();
    await leaving.close();
    expect(() => process.kill(pid, 0)).toThrow();
    expect(daemon.machines()).toEqual(before);
    expect(await running('77772')).toBe(true);
  });

  it('ends when its input ends, also with a call under way', async () => {
    const raw = start('alice');
    raw.send(hello);
    raw.send({
      jsonrpc: '2.0',
      id: 2,
      method: 'tools/call',
      params: { name: 'exec', arguments: { workspace_id: 'box', command: 'exec sleep 77773' } },
    });
    await until(() => running('77773'));
    raw.child.stdin.end();
    expect(await raw.ended).toEqual([0, null]);
  });

  it('ends orderly on SIGTERM', async () => {
    const raw = start();
    raw.send(hello);
    await raw.answer(1);
    raw.child.kill('SIGTERM');
    expect(await raw.ended).toEqual([0, null]);
  });

  it('refuses a message that is too long, by its id, and goes on', async () => {
    const raw = start();
    raw.send(hello);
    await raw.answer(1);
    raw.send({
      jsonrpc: '2.0',
      id: 2,
      method: 'tools/call',
      params: { name: 'exec', arguments: { command: 'x'.repeat(limits.rpcFrameBytes) } },
    });
    raw.send({
      method: 'tools/call',
      params: { name: 'exec', arguments: { command: 'x'.repeat(limits.rpcFrameBytes) } },
      jsonrpc: '2.0',
      id: 'three',
    });
    raw.send({ jsonrpc: '2.0', id: 4, method: 'ping' });
    expect((await raw.answer(2))?.error?.message).toMatch(/must not be longer/);
    expect((await raw.answer('three'))?.error?.message).toMatch(/must not be longer/);
    expect((await raw.answer(4))?.result).toEqual({});
    raw.child.stdin.end();
    await raw.ended;
  });

  it('survives nesting without end', async () => {
    const raw = start('alice');
    raw.send(hello);
    await raw.answer(1);
    const deep = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
    for (const [id, depth] of [
      [2, 3000],
      [3, 1_000_000],
    ] as const) {
      raw.child.stdin.write(
        `{"jsonrpc":"2.0","id":${String(id)},"method":"tools/call","params":{"name":"exec","arguments":{"workspace_id":"box","command":${deep(depth)}}}}\n`,
      );
      const answer = await raw.answer(id);
      expect(answer?.error ?? answer?.result).toBeDefined();
    }
    raw.send({ jsonrpc: '2.0', id: 4, method: 'ping' });
    expect((await raw.answer(4))?.result).toEqual({});
    raw.child.stdin.end();
    await raw.ended;
  });

  it('survives what is no message, and says nothing but messages', async () => {
    const raw = start();
    raw.send(hello);
    await raw.answer(1);
    for (const line of ['', '{', '[]', 'null', '{"jsonrpc":"2.0"}', '\u0000\u0001', '[[[[']) {
      raw.child.stdin.write(`${line}\n`);
    }
    raw.child.stdin.write(Buffer.from([0xff, 0xfe, 0x0a]));
    raw.send({ jsonrpc: '2.0', id: 5, method: 'no/such/method' });
    raw.send({ jsonrpc: '2.0', id: 6, method: 'tools/call', params: { name: 5 } });
    raw.send({ jsonrpc: '2.0', id: 7, method: 'ping' });
    expect((await raw.answer(5))?.error).toBeDefined();
    expect((await raw.answer(6))?.error).toBeDefined();
    expect((await raw.answer(7))?.result).toEqual({});
    raw.child.stdin.end();
    expect(await raw.ended).toEqual([0, null]);
  });
});

describe('several agents at once', () => {
  it('do not wait for each other', async () => {
    const others = await Promise.all(
      ['bob', 'carol', 'dave'].map((name) => connectAgent(daemon, name)),
    );
    const cancel = new AbortController();
    const slow = agent
      .tool('exec', { workspace_id: 'box', command: 'sleep 600' }, { signal: cancel.signal })
      .catch(() => 'cancelled');
    const lists = await Promise.all(others.map((other) => other.tool('workspace_list')));
    for (const { text } of lists) expect(text).toContain('"box"');
    expect(await Promise.race([slow, delay(0, 'under way')])).toBe('under way');
    cancel.abort();
    await slow;
    await Promise.all(others.map((other) => other.close()));
  });
});
