import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { CoppiceClient } from '../../../helper-daemon/client/client.ts';
import type { CoppiceEvent } from '../../../protocol/events.ts';
import { startTestDaemon, type TestDaemon } from '../support/testDaemon.ts';

let daemon: TestDaemon;
let client: CoppiceClient;

beforeAll(async () => {
  daemon = await startTestDaemon();
  client = await daemon.connect();
  await client.call('workspace_create', { name: 'web' });
  await serve('web', 8000, '127.0.0.1');
});
afterAll(async () => {
  await daemon.dispose();
});
beforeEach(async () => {
  for (const { guest_port } of (await client.call('workspace_info', { workspace_id: 'web' }))
    .network.port_forwards) {
    await client.call('port_forward_remove', { workspace_id: 'web', guest_port });
  }
});

/** A web server in the machine that answers with the machine's host name. */
async function serve(workspace_id: string, port: number, address: string): Promise<void> {
  await client.call('process_start', {
    workspace_id,
    command: `mkdir -p /srv/www && printf 'served by ${workspace_id}' > /srv/www/index.html &&
exec python3 -m http.server ${String(port)} --bind ${address} --directory /srv/www`,
  });
}

async function get(port: number, host = '127.0.0.1'): Promise<string> {
  const [response] = (await once(http.get({ host, port, agent: false }), 'response')) as [
    http.IncomingMessage,
  ];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

/** The server may not have begun to listen. */
async function eventually<T>(look: () => Promise<T>, good: (value: T) => boolean): Promise<T> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const value = await look().catch((error: unknown) => {
      if (Date.now() > deadline) throw error;
      return undefined;
    });
    if (value !== undefined && good(value)) return value;
    if (Date.now() > deadline) throw new Error(`still ${JSON.stringify(value)}`);
  }
}

const add = (more: Record<string, unknown> = {}) =>
  client.call('port_forward_add', { workspace_id: 'web', guest_port: 8000, ...more });

async function takenPort(): Promise<{ port: number; close(): void }> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as net.AddressInfo).port,
    close: () => server.close(),
  };
}

describe('a port forward', () => {
  it('reaches a server on the loopback of the machine, at a port that was chosen', async () => {
    const forward = await add();
    expect(forward).toMatchObject({ guest_port: 8000, bind: '127.0.0.1', problem: null });
    expect(forward.host_port).toBeGreaterThanOrEqual(1024);
    expect(
      await eventually(
        () => get(forward.host_port),
        (text) => text !== '',
      ),
    ).toBe('served by web');
  });

  it('asked for twice is the same one', async () => {
    expect(await add()).toEqual(await add());
  });

  it('takes the port that was asked for, and refuses one that another program has', async () => {
    const { port, close } = await takenPort();
    await expect(add({ host_port: port })).rejects.toMatchObject({ code: 'port_taken' });
    const list = await client.call('port_forward_list', { workspace_id: 'web' });
    expect(list.every(({ forward }) => forward === null)).toBe(true);
    close();
    expect((await add({ host_port: port })).host_port).toBe(port);
  });

  it('refuses a port that leads to another machine, also by way of every address', async () => {
    const { host_port } = await add();
    await client.call('workspace_create', { name: 'other' });
    for (const bind of ['127.0.0.1', '0.0.0.0']) {
      await expect(
        client.call('port_forward_add', { workspace_id: 'other', guest_port: 80, host_port, bind }),
      ).rejects.toMatchObject({ code: 'port_taken', message: expect.stringContaining('web') });
    }
    const chosen = await client.call('port_forward_add', {
      workspace_id: 'other',
      guest_port: host_port,
    });
    expect(chosen.host_port).not.toBe(host_port);
    await client.call('workspace_destroy', { workspace_id: 'other' });
    // What a workspace had is free again when it is gone.
    expect((await add({ guest_port: 1, host_port: chosen.host_port })).host_port).toBe(
      chosen.host_port,
    );
  });

  it.each([1, 80, 1023])('does not take the privileged port %i', async (host_port) => {
    await expect(add({ host_port })).rejects.toMatchObject({ code: 'invalid_input' });
  });

  it('refuses an address that this host does not have', async () => {
    await expect(add({ bind: '192.0.2.1' })).rejects.toMatchObject({
      code: 'invalid_input',
      next: expect.stringContaining('0.0.0.0'),
    });
  });

  it('that is removed ends connections and refuses new ones', async () => {
    const { host_port } = await add();
    const socket = net.connect(host_port, '127.0.0.1');
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    const closed = once(socket, 'close');
    expect(
      await client.call('port_forward_remove', { workspace_id: 'web', guest_port: 8000 }),
    ).toMatchObject({ removed: 1 });
    await closed;
    await expect(get(host_port)).rejects.toThrow(/ECONNREFUSED/);
    expect(
      await client.call('port_forward_remove', { workspace_id: 'web', guest_port: 8000 }),
    ).toMatchObject({ removed: 0 });
  });

  it('carries much in both directions', async () => {
    const size = 8 * 1024 * 1024;
    await client.call('process_start', {
      workspace_id: 'web',
      command: `exec python3 -c "
import socket
s = socket.create_server(('127.0.0.1', 8001))
while True:
    c = s.accept()[0]
    n = 0
    while (b := c.recv(1 << 16)): n += len(b); c.sendall(b)
    c.close()"`,
    });
    const { host_port } = await add({ guest_port: 8001 });
    const echoed = await eventually(
      async () => {
        const socket = net.connect({ port: host_port, host: '127.0.0.1', allowHalfOpen: true });
        socket.end(Buffer.alloc(size, 7));
        let bytes = 0;
        for await (const chunk of socket) bytes += (chunk as Buffer).length;
        return bytes;
      },
      (bytes) => bytes > 0,
    );
    expect(echoed).toBe(size);
  });

  it('works again after the machine was stopped and started, and after the daemon was killed', async () => {
    const { host_port } = await add();
    await client.call('workspace_stop', { workspace_id: 'web' });
    await expect(get(host_port)).rejects.toThrow(/ECONNRESET|socket hang up/);
    await client.call('workspace_start', { workspace_id: 'web' });
    await serve('web', 8000, '127.0.0.1');
    await eventually(
      () => get(host_port),
      (text) => text === 'served by web',
    );
    await daemon.kill();
    await expect(get(host_port)).rejects.toThrow(/ECONNREFUSED/);
    await daemon.start();
    client = await daemon.connect();
    expect(await get(host_port)).toBe('served by web');
  });

  it('is told where another program took its port while the daemon was away', async () => {
    const { host_port } = await add();
    await daemon.kill();
    const thief = net.createServer().listen(host_port, '127.0.0.1');
    await once(thief, 'listening');
    await daemon.start();
    client = await daemon.connect();
    const info = await client.call('workspace_info', { workspace_id: 'web' });
    expect(info.network.port_forwards).toMatchObject([
      { host_port, problem: expect.stringContaining('another program') },
    ]);
    thief.close();
    await once(thief, 'close');
  });

  it('wakes a suspended machine', async () => {
    const { host_port } = await add();
    await client.call('workspace_suspend', { workspace_id: 'web' });
    expect(await get(host_port)).toBe('served by web');
    expect((await client.call('workspace_info', { workspace_id: 'web' })).state).toBe('running');
  });

  it('stays with its workspace when that is forked or restored', async () => {
    const { host_port } = await add();
    await client.call('snapshot_create', {
      workspace_id: 'web',
      name: 'warm',
      include_memory: true,
    });
    const { workers } = await client.call('workspace_fork', { workspace_id: 'web', count: 1 });
    const child = workers[0]?.name ?? '';
    const copy = await client.call('workspace_info', { workspace_id: child });
    expect(copy.network.port_forwards).toEqual([]);
    await client.call('workspace_destroy', { workspace_id: child });
    await client.call('snapshot_restore', { workspace_id: 'web', name: 'warm' });
    expect(await get(host_port)).toBe('served by web');
  });
});

describe('what listens in a machine', () => {
  it('is told as it comes and goes, and listed beside the forwards', async () => {
    const told: CoppiceEvent[] = [];
    await client.subscribe(({ event }) => told.push(event));
    const { job_id } = await client.call('process_start', {
      workspace_id: 'web',
      command: 'exec python3 -m http.server 9123',
    });
    const seen = (): Promise<boolean> =>
      Promise.resolve(
        told.some(
          (event) =>
            event.type === 'ports_changed' &&
            event.listening.some(({ port, process }) => port === 9123 && process === 'python3'),
        ),
      );
    await eventually(() => new Promise((resolve) => setImmediate(() => resolve(seen()))), Boolean);
    const list = await client.call('port_forward_list', {});
    expect(list.find(({ guest_port }) => guest_port === 9123)).toMatchObject({
      name: 'web',
      forward: null,
      listening: { address: '0.0.0.0' },
    });
    await client.call('process_signal', { workspace_id: 'web', job_id });
    await eventually(
      () => client.call('network_info', { workspace_id: 'web' }),
      ({ listening }) => listening.every(({ port }) => port !== 9123),
    );
  });
});
