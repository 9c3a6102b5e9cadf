import { connect, createServer, type Server } from 'node:net';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { make, openToolBed, sh, type Made, type ToolBed } from './toolBed.ts';

let bed: ToolBed;
let box: Made;
const on = { workspace_id: 'box' };

beforeAll(async () => {
  bed = await openToolBed();
  box = await make(bed.agent, 'box');
  await bed.agent.ok('exec_background', {
    ...on,
    action: 'start',
    command: `python3 -c "
import socket
s = socket.create_server(('127.0.0.1', 8123))
while True:
    c, _ = s.accept(); c.sendall(b'hello'); c.close()
"`,
  });
});
afterAll(async () => {
  await bed.dispose();
});

async function ask(port: number): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let text = '';
  socket.on('data', (data: Buffer) => (text += data.toString()));
  await once(socket, 'close').catch(() => undefined);
  return text;
}

async function occupied(): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return { server, port: address.port };
}

describe('port_forward', () => {
  it('chooses a port that reaches the machine from this host, and takes it back', async () => {
    const { agent } = bed;
    const added = await agent.tool<{ host_port: number }>('port_forward', {
      ...on,
      action: 'add',
      guest_port: 8123,
    });
    const { host_port } = added.structured;
    expect(JSON.parse(added.text)).toEqual({ workspace_id: 'box', guest_port: 8123, host_port });
    await expect.poll(() => ask(host_port), { timeout: 20_000 }).toBe('hello');
    const info = await agent.ok<{ network: { port_forwards: unknown } }>('workspace_info', on);
    expect(info.network.port_forwards).toEqual([{ host_port, guest_port: 8123 }]);

    const removed = await agent.tool('port_forward', { ...on, action: 'remove', guest_port: 8123 });
    expect(removed.text).toBe('Port forward for guest port 8123 removed from workspace box.');
    expect(await ask(host_port)).toBe('');
    const again = await agent.tool('port_forward', { ...on, action: 'remove', guest_port: 8123 });
    expect(again.isError).toBe(false);
  });

  it('refuses ports that are not to be had', async () => {
    const { agent } = bed;
    const add = (more: object) =>
      agent.failure('port_forward', { ...on, action: 'add', guest_port: 8123, ...more });
    for (const bad of [{ host_port: 1023 }, { guest_port: 0 }, { guest_port: 65_536 }]) {
      expect(await add(bad), JSON.stringify(bad)).toMatchObject({ kind: 'invalid_params' });
    }
    expect(
      await agent.failure('port_forward', { ...on, action: 'list', guest_port: 1 }),
    ).toMatchObject({ kind: 'invalid_params' });
    const { server, port } = await occupied();
    expect(await add({ host_port: port })).toMatchObject({
      kind: 'internal_error',
      code: 'port_taken',
    });
    server.close();
    for (const action of ['add', 'remove']) {
      expect(
        await agent.failure('port_forward', { workspace_id: 'no-such', action, guest_port: 80 }),
      ).toMatchObject({ kind: 'invalid_request', code: 'not_found' });
    }
  });
});

describe('network_policy', () => {
  it('changes what is given, keeps the rest, and never a forward', async () => {
    const { agent } = bed;
    const { host_port } = await agent.ok<{ host_port: number }>('port_forward', {
      ...on,
      action: 'add',
      guest_port: 8123,
    });
    const change = async (workspace_id: string, more: object): Promise<unknown> =>
      JSON.parse((await agent.tool('network_policy', { workspace_id, ...more })).text);
    expect(await change('box', { allow_internet: true })).toMatchObject({
      workspace_id: 'box',
      network_policy: { allow_internet: true, allow_inter_vm: false, allowed_ports: [] },
    });
    expect(
      await change(box.workspace_id, { allowed_ports: [80, 443], allow_inter_vm: true }),
    ).toMatchObject({
      workspace_id: box.workspace_id,
      network_policy: { allow_internet: true, allow_inter_vm: true, allowed_ports: [80, 443] },
    });
    expect(await change('box', { allow_internet: false })).toMatchObject({
      network_policy: { allow_internet: false, allow_inter_vm: true, allowed_ports: [80, 443] },
    });
    expect(await ask(host_port)).toBe('hello');
    expect(await agent.failure('network_policy', { ...on, allowed_ports: [0] })).toMatchObject({
      kind: 'invalid_params',
    });
    expect(await agent.failure('network_policy', { workspace_id: 'no-such' })).toMatchObject({
      kind: 'invalid_request',
    });
    expect(await sh(agent, 'box', 'echo still here')).toBe('still here');
  });
});
