import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connectQmp, type QmpEvent } from '../../../helper-daemon/engine/qemu/qmp.ts';

type Reply = (message: { execute: string; id: string }, socket: net.Socket) => void;

const greeting = '{"QMP": {"version": {}, "capabilities": []}}\n';
const answer: Reply = (message, socket) =>
  void socket.write(`${JSON.stringify({ return: message.execute, id: message.id })}\n`);

describe('connectQmp', () => {
  let directory: string;
  let server: net.Server | undefined;
  const sockets = new Set<net.Socket>();

  beforeEach(async () => {
    directory = await mkdtemp(path.join(os.tmpdir(), 'coppice-qmp-'));
  });
  afterEach(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => (server === undefined ? resolve(null) : server.close(resolve)));
    server = undefined;
    await rm(directory, { recursive: true, force: true });
  });

  async function serve(onConnect: (socket: net.Socket) => void): Promise<string> {
    const file = path.join(directory, 'qmp.sock');
    server = net.createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
      onConnect(socket);
    });
    await new Promise<void>((resolve) => server?.listen(file, resolve));
    return file;
  }

  function monitor(reply: Reply): Promise<string> {
    return serve((socket) => {
      socket.write(greeting);
      let text = '';
      socket.on('data', (chunk) => {
        text += String(chunk);
        for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
          const message = JSON.parse(text.slice(0, end)) as { execute: string; id: string };
          text = text.slice(end + 1);
          if (message.execute === 'qmp_capabilities') answer(message, socket);
          else reply(message, socket);
        }
      });
    });
  }

  it('matches answers to commands by id, whatever their order', async () => {
    const held: (() => void)[] = [];
    const qmp = await connectQmp(
      await monitor((message, socket) => {
        held.push(() => answer(message, socket));
        if (held.length === 2) for (const send of held.reverse()) send();
      }),
    );
    expect(await Promise.all([qmp.execute('one'), qmp.execute('two')])).toEqual(['one', 'two']);
    qmp.close();
  });

  it('reports events, also those cut into pieces', async () => {
    const events: QmpEvent[] = [];
    const qmp = await connectQmp(
      await monitor((message, socket) => {
        socket.write('{"event": "STOP", "da');
        setTimeout(() => {
          socket.write('ta": {"x": 1}}\r\n');
          answer(message, socket);
        }, 5);
      }),
      { onEvent: (event) => events.push(event) },
    );
    await qmp.execute('stop');
    expect(events).toEqual([{ event: 'STOP', data: { x: 1 } }]);
    qmp.close();
  });

  it('says what the monitor refused', async () => {
    const qmp = await connectQmp(
      await monitor((message, socket) => {
        const error = { class: 'GenericError', desc: 'no such device' };
        socket.write(`${JSON.stringify({ error, id: message.id })}\n`);
      }),
    );
    await expect(qmp.execute('x')).rejects.toMatchObject({
      code: 'command_failed',
      message: expect.stringContaining('no such device') as string,
    });
    qmp.close();
  });

  it('gives up a command that is not answered, and ignores its late answer', async () => {
    let late: (() => void) | undefined;
    const qmp = await connectQmp(
      await monitor((message, socket) => {
        if (message.execute === 'slow') late = () => answer(message, socket);
        else answer(message, socket);
      }),
    );
    await expect(qmp.execute('slow', undefined, 30)).rejects.toMatchObject({ code: 'timeout' });
    late?.();
    expect(await qmp.execute('next')).toBe('next');
    qmp.close();
  });

  it('ends on garbage and fails what was waiting', async () => {
    let reason = '';
    const qmp = await connectQmp(
      await monitor((_message, socket) => void socket.write('\u0000garbage\n')),
      { onClose: (why) => (reason = why) },
    );
    await expect(qmp.execute('x')).rejects.toMatchObject({ code: 'internal' });
    expect(reason).toContain('not a QMP message');
    expect(qmp.closed).toBe(true);
  });

  it('ends on a line that never ends', async () => {
    let closed: (reason: string) => void = () => undefined;
    const ended = new Promise<string>((resolve) => (closed = resolve));
    await connectQmp(await monitor(() => undefined), { onClose: closed });
    for (const socket of sockets) for (let i = 0; i < 20; i += 1) socket.write('y'.repeat(65_536));
    expect(await ended).toContain('a line of more than');
  });

  it('fails every waiting command when the monitor goes away', async () => {
    const qmp = await connectQmp(await monitor((_message, socket) => void socket.destroy()));
    await expect(qmp.execute('x')).rejects.toMatchObject({ code: 'internal' });
    await expect(qmp.execute('y')).rejects.toMatchObject({ code: 'internal' });
  });

  it('does not wait for ever for a greeting', async () => {
    const file = await serve(() => undefined);
    await expect(connectQmp(file, { connectTimeoutMs: 30 })).rejects.toMatchObject({
      code: 'timeout',
    });
  });

  it('fails when nobody listens', async () => {
    await expect(connectQmp(path.join(directory, 'none'))).rejects.toMatchObject({
      code: 'internal',
    });
  });
});
