import { once } from 'node:events';
import net from 'node:net';
import { afterEach, expect, it } from 'vitest';
import {
  forwardListeners,
  type Carry,
  type ForwardListeners,
} from '../../../helper-daemon/workspaces/forwardListeners.ts';

let listeners: ForwardListeners | undefined;
afterEach(() => listeners?.closeAll());

/** Answers what it is sent in capitals, and ends when the other side has. */
const shout: Carry = async (_, { port }, end) => {
  await end.data(Buffer.from(`${String(port)} `));
  for await (const chunk of end.input) {
    await end.data(Buffer.from(Buffer.from(chunk).toString().toUpperCase()));
  }
  end.ended();
};

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function forwardWith(
  carry: Carry,
  failed: (error: unknown) => void = () => undefined,
): Promise<{ workspaceId: string; bind: string; hostPort: number; guestPort: number }> {
  listeners = forwardListeners(carry, (_, error) => failed(error));
  const hostPort = await freePort();
  const forward = { workspaceId: 'w', bind: '127.0.0.1', hostPort, guestPort: 80 };
  expect(await listeners.open(forward)).toBeUndefined();
  return forward;
}

it('carries both directions, and the end of each', async () => {
  const { hostPort } = await forwardWith(shout);
  const socket = net.connect({ port: hostPort, host: '127.0.0.1', allowHalfOpen: true });
  socket.end('hello');
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  expect(Buffer.concat(chunks).toString()).toBe('80 HELLO');
});

it('resets a connection that cannot be carried, and says why to its owner', async () => {
  const errors: unknown[] = [];
  const { hostPort } = await forwardWith(
    () => Promise.reject(new Error('nobody there')),
    (error) => errors.push(error),
  );
  const socket = net.connect(hostPort, '127.0.0.1');
  const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
  expect(error.code).toBe('ECONNRESET');
  expect(errors).toMatchObject([{ message: 'nobody there' }]);
});

it('tells the carrier when the client has gone', async () => {
  let gone: Promise<unknown> | undefined;
  let begun!: () => void;
  const started = new Promise<void>((resolve) => (begun = resolve));
  const { hostPort } = await forwardWith(async (_, __, ___, signal) => {
    gone = once(signal, 'abort');
    begun();
    await gone;
  });
  const socket = net.connect(hostPort, '127.0.0.1');
  await started;
  socket.resetAndDestroy();
  await gone;
});

it('ends connections and frees the port when the forward is taken back', async () => {
  const forward = await forwardWith(shout);
  const socket = net.connect(forward.hostPort, '127.0.0.1');
  socket.on('error', () => undefined);
  await once(socket, 'data');
  listeners?.close(forward);
  await once(socket, 'close');
  const again = net.createServer().listen(forward.hostPort, '127.0.0.1');
  await once(again, 'listening');
  again.close();
});

it('says that a port is taken, and gets it when it is asked again later', async () => {
  listeners = forwardListeners(shout, () => undefined);
  const other = net.createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { port } = other.address() as net.AddressInfo;
  const forward = { workspaceId: 'w', bind: '127.0.0.1', hostPort: port, guestPort: 80 };
  expect(await listeners.open(forward)).toEqual({ code: 'EADDRINUSE' });
  expect(listeners.problem(forward)).toMatch(/another program/);
  other.close();
  await once(other, 'close');
  expect(await listeners.open(forward)).toBeUndefined();
  expect(listeners.problem(forward)).toBeUndefined();
});
