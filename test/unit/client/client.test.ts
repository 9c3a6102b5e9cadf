import { afterEach, describe, expect, it } from 'vitest';
import { connectClient, type CoppiceClient } from '../../../helper-daemon/client/client.ts';
import { CoppiceError } from '../../../protocol/errors.ts';
import { startFakeDaemon, type FakeDaemon, type FakeDaemonOptions } from './fakeDaemon.ts';

const identity = { name: 'test', version: '0' };
let daemon: FakeDaemon | undefined;
let client: CoppiceClient | undefined;

afterEach(async () => {
  client?.close();
  await daemon?.close();
  client = undefined;
  daemon = undefined;
});

async function connected(options: FakeDaemonOptions): Promise<CoppiceClient> {
  daemon = await startFakeDaemon(options);
  client = await connectClient(daemon.socketPath, identity);
  return client;
}

describe('a client', () => {
  it('returns what an operation answers', async () => {
    const { call } = await connected({ handlers: { workspace_list: ({ input }) => [input] } });
    expect(await call('workspace_list', { state_filter: 'running' })).toEqual([
      { state_filter: 'running' },
    ]);
  });

  it('throws the error of an operation with its code, next step and details', async () => {
    const body = {
      code: 'name_taken',
      message: 'Taken.',
      next: 'Choose another.',
      details: { name: 'a' },
    } as const;
    const { call } = await connected({
      handlers: {
        workspace_create() {
          throw new CoppiceError(body);
        },
      },
    });
    const error = await call('workspace_create', {}).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(CoppiceError);
    expect((error as CoppiceError).toBody()).toEqual(body);
  });

  it('hands progress only to the call that it belongs to', async () => {
    const { call } = await connected({
      handlers: {
        image_build({ input, progress }) {
          progress(`building ${String(input['name'])}`, 0.5);
          return {};
        },
      },
    });
    const seen: string[] = [];
    await Promise.all([
      call(
        'image_build',
        { name: 'a' },
        { onProgress: ({ message }) => seen.push(`1 ${message}`) },
      ),
      call(
        'image_build',
        { name: 'b' },
        { onProgress: ({ message }) => seen.push(`2 ${message}`) },
      ),
      call('image_build', { name: 'c' }),
    ]);
    expect(seen.sort()).toEqual(['1 building a', '2 building b']);
  });

  it('passes an abort on and settles when the daemon has given up', async () => {
    const { call } = await connected({
      handlers: {
        workspace_create: ({ token }) =>
          new Promise((_, reject) => {
            token.onCancellationRequested(() =>
              reject(new CoppiceError({ code: 'cancelled', message: 'Rolled back.' })),
            );
          }),
      },
    });
    const abort = new AbortController();
    const creation = call('workspace_create', {}, { signal: abort.signal });
    setTimeout(() => abort.abort(), 20);
    await expect(creation).rejects.toMatchObject({ code: 'cancelled', message: 'Rolled back.' });
  });

  it('says "outcome unknown" when the daemon goes away in the middle of a call', async () => {
    const { call } = await connected({
      handlers: {
        workspace_list: ({ socket }) => {
          socket.destroy();
          return new Promise(() => undefined);
        },
      },
    });
    await expect(call('workspace_list', {})).rejects.toMatchObject({ code: 'outcome_unknown' });
    await expect(call('workspace_list', {})).rejects.toMatchObject({ code: 'outcome_unknown' });
  });

  it.each([
    ['text', 'HTTP/1.1 400 Bad Request\r\n\r\n'],
    ['a header without a length', 'Content-Type: x\r\n\r\n{}'],
    ['broken JSON', 'Content-Length: 5\r\n\r\n{"a":'],
    ['binary noise', Buffer.from([0, 255, 13, 10, 13, 10, 1, 2, 3])],
  ])('ends the connection and the call on garbage: %s', async (_, garbage) => {
    const { call } = await connected({
      handlers: {
        workspace_list: ({ socket }) => {
          socket.write(garbage);
          socket.end();
          return new Promise(() => undefined);
        },
      },
    });
    await expect(call('workspace_list', {})).rejects.toMatchObject({ code: 'outcome_unknown' });
  });

  it('tells its listener once when the connection has ended', async () => {
    const { onClose } = await connected({});
    const closed = new Promise<void>((resolve) => onClose(resolve));
    await daemon?.close();
    await closed;
  });
});

describe('connecting', () => {
  it('says that nothing listens', async () => {
    await expect(connectClient('/nonexistent/socket', identity)).rejects.toMatchObject({
      code: 'daemon_unavailable',
      details: { errno: 'ENOENT' },
    });
  });

  it('says that what listens is no daemon', async () => {
    daemon = await startFakeDaemon({
      onConnection(socket) {
        socket.end('SSH-2.0-OpenSSH_9.2\r\n');
        return true;
      },
    });
    await expect(connectClient(daemon.socketPath, identity)).rejects.toMatchObject({
      code: 'daemon_unavailable',
    });
  });

  it('leaves no connection behind when the handshake fails', async () => {
    daemon = await startFakeDaemon({
      onConnection(socket) {
        socket.resume();
        socket.write('garbage\r\n\r\n');
        return true;
      },
    });
    await connectClient(daemon.socketPath, identity).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(daemon.connections()).toBe(0);
  });
});
