import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { pino } from 'pino';
import {
  createFrameSocket,
  type FrameSocket,
} from '../../../../helper-daemon/network/user/frameSocket.ts';
import { openGuestLink } from '../../../../helper-daemon/network/user/guestLink.ts';
import { prefixed } from './wire.ts';

const log = pino({ level: 'silent' });
const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function socketPath(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'coppice-frames-'));
  cleanups.push(() => rm(directory, { recursive: true }));
  return join(directory, 'net.sock');
}

async function listen(path: string): Promise<net.Server> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  cleanups.push(() => server.close());
  return server;
}

async function pair(): Promise<{ near: net.Socket; far: net.Socket }> {
  const path = await socketPath();
  const server = await listen(path);
  const accepted = once(server, 'connection') as Promise<[net.Socket]>;
  const near = net.connect(path);
  const [far] = await accepted;
  cleanups.push(
    () => near.destroy(),
    () => far.destroy(),
  );
  return { near, far };
}

interface Watched {
  readonly frames: FrameSocket;
  readonly got: Buffer[];
  readonly closed: Promise<string>;
  readonly drained: Promise<undefined>;
}

function watch(socket: net.Socket): Watched {
  const got: Buffer[] = [];
  const closed = Promise.withResolvers<string>();
  const drained = Promise.withResolvers<undefined>();
  const frames = createFrameSocket(socket, {
    onFrame: (bytes, start, end) => got.push(Buffer.from(bytes.subarray(start, end))),
    onBatchEnd: () => undefined,
    onDrain: () => drained.resolve(undefined),
    onClosed: closed.resolve,
  });
  return { frames, got, closed: closed.promise, drained: drained.promise };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}

describe('createFrameSocket', () => {
  it('carries neighbouring and single frames in their order', async () => {
    const { near, far } = await pair();
    const [left, right] = [watch(near), watch(far)];
    const chunk = Buffer.concat([1, 2, 3, 4].map((value) => prefixed(Buffer.alloc(50, value))));
    // The third is left out: the run is cut there.
    for (const index of [0, 1, 3]) left.frames.pass(chunk, index * 54 + 4, (index + 1) * 54);
    const single = prefixed(Buffer.alloc(9, 9));
    left.frames.pass(single, 4, single.length);
    await until(() => right.got.length === 4);
    expect(right.got.map((frame) => [frame.length, frame[0]])).toEqual([
      [50, 1],
      [50, 2],
      [50, 4],
      [9, 9],
    ]);
  });

  it('loses frames rather than memory when nobody reads, and works on afterwards', async () => {
    const { near, far } = await pair();
    far.pause();
    const left = watch(near);
    const frame = prefixed(Buffer.alloc(1500));
    let lost = 0;
    for (let count = 0; count < 10_000; count += 1) {
      if (!left.frames.pass(Buffer.from(frame), 4, frame.length)) lost += 1;
      left.frames.flush();
    }
    expect(lost).toBeGreaterThan(8000);
    expect(left.frames.backlog()).toBeLessThan(1_100_000);
    const right = watch(far);
    far.resume();
    await left.drained;
    await until(() => right.got.length === 10_000 - lost);
    expect(left.frames.pass(Buffer.from(frame), 4, frame.length)).toBe(true);
    await until(() => right.got.length === 10_001 - lost);
  });

  it('gives up a stream with a frame that is too large', async () => {
    const { near, far } = await pair();
    const left = watch(near);
    far.write(Buffer.from([0, 1, 0, 15, 1, 2, 3]));
    expect(await left.closed).toBe('a frame was too large');
    expect(near.destroyed).toBe(true);
  });
});

describe('openGuestLink', () => {
  function link(path: string): ReturnType<typeof openGuestLink> {
    const opened = openGuestLink({ path, log, onFrame: () => undefined, onDrain: () => undefined });
    onTestFinished(() => opened.close());
    return opened;
  }

  it('waits a moment for the monitor to listen', async () => {
    const path = await socketPath();
    const opened = link(path);
    const server = await listen(path);
    const [socket] = (await once(server, 'connection')) as [net.Socket];
    await opened.ready;
    const right = watch(socket);
    const frame = prefixed(Buffer.from('hello'));
    expect(opened.pass(frame, 4, frame.length)).toBe(true);
    await until(() => right.got.length === 1);
  });

  it('connects again when the connection breaks, and not once it is closed', async () => {
    const path = await socketPath();
    const server = await listen(path);
    let connections = 0;
    const sockets: net.Socket[] = [];
    server.on('connection', (socket) => {
      connections += 1;
      sockets.push(socket);
    });
    const opened = link(path);
    await until(() => connections === 1);
    sockets[0]!.destroy();
    await until(() => connections === 2);
    opened.close();
    await new Promise((resolve) => sockets[1]!.resume().once('close', resolve));
    expect(connections).toBe(2);
    expect(opened.pass(prefixed(Buffer.alloc(20)), 4, 24)).toBe(false);
  });
});
