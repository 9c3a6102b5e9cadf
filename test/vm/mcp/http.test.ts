/** `coppice mcp --http`: for whoever has the token, from this host, and for no web page. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { limits } from '../../../protocol/limits.ts';
import type { CoppiceClient } from '../../../helper-daemon/client/client.ts';
import { startTestDaemon, type TestDaemon } from '../support/testDaemon.ts';

const launcher = path.resolve(import.meta.dirname, '../../../bin/coppice');

interface HttpServer {
  readonly url: string;
  readonly port: number;
  readonly token: string;
  readonly child: ChildProcess;
  stop(): Promise<void>;
}

let daemon: TestDaemon;
let person: CoppiceClient;
let server: HttpServer;

beforeAll(async () => {
  daemon = await startTestDaemon();
  person = await daemon.connect();
  server = await serve();
});

afterAll(async () => {
  await server?.stop();
  await daemon?.dispose();
});

async function serve(...args: readonly string[]): Promise<HttpServer> {
  const child = spawn(launcher, ['mcp', '--http', '--port', '0', '--json', ...args], {
    env: { ...process.env, COPPICE_HOME: daemon.home },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (data: Buffer) => (said += data.toString()));
  const [line] = (await Promise.race([
    once(child.stdout, 'data'),
    once(child, 'exit').then(() => Promise.reject(new Error(said))),
  ])) as [Buffer];
  const { url, token = '' } = JSON.parse(line.toString()) as { url: string; token?: string };
  return {
    url,
    token,
    child,
    port: Number(new URL(url).port),
    async stop() {
      const gone = once(child, 'exit');
      child.kill('SIGTERM');
      expect(await gone).toEqual([0, null]);
    },
  };
}

async function connect(
  name: string,
  options: { readonly newest?: boolean; readonly headers?: Record<string, string> } = {},
): Promise<{ client: Client; transport: StreamableHTTPClientTransport }> {
  const transport = new StreamableHTTPClientTransport(new URL(server.url), {
    requestInit: { headers: { Authorization: `Bearer ${server.token}`, ...options.headers } },
  });
  const client = new Client(
    { name, version: '0' },
    options.newest === true ? { versionNegotiation: { mode: 'auto' } } : {},
  );
  await client.connect(transport);
  return { client, transport };
}

/** A request as any program can send it; fetch would not let us choose the Host. */
async function send(
  headers: Record<string, string>,
  options: { readonly method?: string; readonly path?: string; readonly body?: string } = {},
): Promise<{ status: number | undefined; body: string; headers: http.IncomingHttpHeaders }> {
  const request = http.request({
    host: '127.0.0.1',
    port: server.port,
    path: options.path ?? '/mcp',
    agent: false,
    method: options.method ?? 'POST',
    headers: {
      'Content-Type': 'application/json',
      Accept: 'application/json, text/event-stream',
      ...headers,
    },
  });
  request.end(options.body ?? JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping' }));
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  let body = '';
  for await (const chunk of response) body += String(chunk);
  return { status: response.statusCode, body, headers: response.headers };
}

const auth = (): Record<string, string> => ({ Authorization: `Bearer ${server.token}` });

describe.each([
  ['with sessions', false],
  ['of the newest revision', true],
] as const)('a client %s', (_, newest) => {
  it('uses tools and resources', async () => {
    const { client } = await connect('http-agent', { newest });
    expect((await client.listTools()).tools.length).toBeGreaterThan(20);
    const result = await client.callTool({ name: 'workspace_list', arguments: {} });
    expect(result.isError).not.toBe(true);
    const { contents } = await client.readResource({ uri: 'coppice://workspaces' });
    expect(contents).toHaveLength(1);
    await client.close();
  });

  it('is known by its own name, or by the one its header gives', async () => {
    const one = await connect('first', { newest });
    const two = await connect('first', { newest, headers: { 'Coppice-Session': 'second' } });
    for (const { client } of [one, two]) {
      const { structuredContent } = await client.callTool({
        name: 'exec',
        arguments: { workspace_id: 'nobody', command: 'true' },
      });
      expect(structuredContent).toMatchObject({ error: { code: 'not_found' } });
    }
    await one.client.close();
    await two.client.close();
    const { rows } = await person.call('audit_list', { operation: 'exec', limit: 4 });
    expect(new Set(rows.map(({ agent }) => agent))).toEqual(new Set(['first', 'second']));
  });

  it('is told what changes', async () => {
    const { client } = await connect('listener', { newest });
    const uri = 'coppice://workspaces';
    const heard: string[] = [];
    client.setNotificationHandler('notifications/resources/updated', ({ params }) => {
      heard.push(params.uri);
    });
    if (newest) await client.listen({ resourceSubscriptions: [uri] });
    else await client.subscribeResource({ uri });
    for (let turn = 0; heard.length === 0; turn += 1) {
      await person.call('workspace_create', { name: 'passing', vcpus: 1, memory_mb: 256 });
      await person.call('workspace_destroy', { workspace_id: 'passing' });
      await delay(200);
    }
    expect(new Set(heard)).toEqual(new Set([uri]));
    await client.close();
  });
});

describe('a session', () => {
  it('ends when its client says so, and is unknown afterwards', async () => {
    const { client, transport } = await connect('leaving');
    const id = transport.sessionId ?? '';
    expect(id).toMatch(/^[0-9a-f-]{36}$/);
    await transport.terminateSession();
    await client.close();
    expect(await send({ ...auth(), 'Mcp-Session-Id': id })).toMatchObject({ status: 404 });
  });

  it('begins with initialize and with nothing else', async () => {
    expect(await send(auth())).toMatchObject({ status: 400 });
  });

  it('is one of a limited number', async () => {
    const open: Client[] = [];
    const refused = async (): Promise<unknown> => {
      for (;;) open.push((await connect(`many-${String(open.length)}`)).client);
    };
    await expect(refused()).rejects.toThrow(/too many sessions/);
    expect(open.length).toBeLessThanOrEqual(64);
    await (open[0]?.transport as StreamableHTTPClientTransport).terminateSession();
    const next = await connect('next');
    open.push(next.client);
    for (const client of open) {
      await (client.transport as StreamableHTTPClientTransport)
        .terminateSession()
        .catch(() => undefined);
      await client.close();
    }
  });
});

describe('a request', () => {
  it('without the token, or with another, gets nothing', async () => {
    expect(await send({})).toMatchObject({ status: 401 });
    expect(await send({ Authorization: 'Bearer nonsense' })).toMatchObject({ status: 401 });
    expect(await send({ Authorization: `Basic ${server.token}` })).toMatchObject({ status: 401 });
    const { headers } = await send({ Authorization: `Bearer ${server.token}x` });
    expect(headers['www-authenticate']).toMatch(/^Bearer/);
    expect((await send({}, { path: '/anything' })).status).toBe(401);
  });

  it('of a web page from elsewhere is refused, also with the token', async () => {
    for (const Origin of ['https://evil.example', 'http://localhost.evil.example', 'null']) {
      expect(await send({ ...auth(), Origin }), Origin).toMatchObject({ status: 403 });
    }
    const preflight = await send({ Origin: 'https://evil.example' }, { method: 'OPTIONS' });
    expect(preflight.status).toBe(403);
    expect(preflight.headers['access-control-allow-origin']).toBeUndefined();
    const own = await send({ ...auth(), Origin: `http://localhost:${String(server.port)}` });
    expect(own.status).toBe(400);
  });

  it('under a name that was made to lead here is refused', async () => {
    for (const Host of [
      'evil.example',
      `evil.example:${String(server.port)}`,
      '127.0.0.1',
      '127.0.0.1:1',
      `localhost.evil.example:${String(server.port)}`,
    ]) {
      expect(await send({ ...auth(), Host }), Host).toMatchObject({ status: 403 });
    }
  });

  it('is bounded', async () => {
    const body = JSON.stringify({
      jsonrpc: '2.0',
      id: 1,
      method: 'x'.repeat(limits.rpcFrameBytes),
    });
    expect(await send(auth(), { body })).toMatchObject({ status: 413 });
  });

  it('that is no JSON, or goes elsewhere, is refused', async () => {
    expect((await send(auth(), { body: '{' })).status).toBe(400);
    expect((await send(auth(), { path: '/other' })).status).toBe(404);
    expect((await send(auth(), { path: '/mcp/../mcp' })).status).toBe(404);
    expect((await send(auth(), { method: 'PUT' })).status).toBeGreaterThanOrEqual(400);
  });

  it('does not arrive from other interfaces', () => {
    const listening = readFileSync('/proc/net/tcp', 'utf8')
      .split('\n')
      .map((line) => line.trim().split(/\s+/)[1] ?? '')
      .filter((address) => Number.parseInt(address.split(':')[1] ?? '', 16) === server.port);
    expect(listening.length).toBeGreaterThan(0);
    for (const address of listening) expect(address).toMatch(/^0100007F:/);
  });
});

describe('the token file', () => {
  it('is made for its owner alone, and used again', async () => {
    const file = path.join(daemon.home, 'token');
    const first = await serve('--token-file', file);
    expect(first.token).toBe('');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const token = readFileSync(file, 'utf8').trim();
    expect(Buffer.from(token, 'base64url')).toHaveLength(32);
    await first.stop();
    const second = await serve('--token-file', file);
    const response = await fetch(second.url, {
      method: 'POST',
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
      body: '{}',
    });
    expect(response.status).toBe(400);
    await second.stop();
  });

  it('that others could read, or that holds too little, is refused', async () => {
    const file = path.join(daemon.home, 'bad-token');
    writeFileSync(file, 'x'.repeat(43));
    chmodSync(file, 0o644);
    await expect(serve('--token-file', file)).rejects.toThrow();
    chmodSync(file, 0o600);
    writeFileSync(file, 'short');
    await expect(serve('--token-file', file)).rejects.toThrow();
  });

  it('of a port that is taken is not given away', async () => {
    const child = spawn(launcher, ['mcp', '--http', '--port', String(server.port)], {
      env: { ...process.env, COPPICE_HOME: daemon.home, NO_COLOR: '1' },
    });
    let said = '';
    child.stderr.on('data', (data: Buffer) => (said += data.toString()));
    const [code] = (await once(child, 'exit')) as [number];
    expect(code).not.toBe(0);
    expect(said).toMatch(/cannot be had[^]*--port 0/);
  });
});
