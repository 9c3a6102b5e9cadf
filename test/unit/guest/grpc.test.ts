import { randomBytes } from 'node:crypto';
import { create, fromBinary } from '@bufbuild/protobuf';
import { afterEach, describe, expect, it } from 'vitest';
import { openChannel } from '../../../helper-daemon/guest/channel.ts';
import { openConnection, type GuestConnection } from '../../../helper-daemon/guest/connection.ts';
import {
  ExecRequestSchema,
  ExecResponseSchema,
  ListFilesResponseSchema,
  PingResponseSchema,
  ProcessInputSchema,
  ProcessOutputSchema,
  ReadResponseSchema,
  WriteRequestSchema,
  WriteResponseSchema,
} from '../../../helper-daemon/guest/gen/coppice/guest/v1/guest_pb.js';
import { startFakeGuest, type FakeGuest, type FakeGuestOptions } from './fakeGuest.ts';

const key = randomBytes(32);
const path = Buffer.from('/x');

describe('calls to a guest', () => {
  let guest: FakeGuest | undefined;
  let connection: GuestConnection | undefined;
  afterEach(async () => {
    connection?.close('test over');
    await guest?.close();
  });

  async function connect(options: Omit<FakeGuestOptions, 'key'>): Promise<GuestConnection> {
    guest = await startFakeGuest({ key, ...options });
    const channel = await openChannel(
      { kind: 'unix', path: guest.path },
      { key, generation: 1n, signal: AbortSignal.timeout(5_000) },
    );
    connection = await openConnection(channel);
    return connection;
  }

  it('sends a request and returns the answer', async () => {
    const { clients } = await connect({
      calls: {
        'ProcessService/Exec': async (call) => {
          for await (const message of call.requests) {
            const request = fromBinary(ExecRequestSchema, message);
            const stdout = { head: Buffer.from(request.spec?.command ?? ''), totalBytes: 1n };
            call.send(ExecResponseSchema, create(ExecResponseSchema, { stdout }));
          }
          call.end();
        },
      },
    });
    const reply = await clients.process.exec({ spec: { command: 'true' } });
    expect(Buffer.from(reply.stdout?.head ?? []).toString()).toBe('true');
  });

  it('turns a status into an error of ours', async () => {
    const { clients } = await connect({
      calls: {
        'FileService/Stat': (call) => call.end(5, '/x does not exist – nichts da', 'not_found'),
      },
    });
    await expect(clients.file.stat({ path })).rejects.toMatchObject({
      code: 'file_not_found',
      message: '/x does not exist – nichts da',
    });
  });

  it('says that the agent is too old when it does not know a call', async () => {
    const { clients } = await connect({});
    await expect(clients.system.ping({})).rejects.toMatchObject({ code: 'protocol_mismatch' });
  });

  it('streams both ways at once', async () => {
    const { clients } = await connect({
      calls: {
        'ProcessService/Open': async (call) => {
          for await (const message of call.requests) {
            const { input } = fromBinary(ProcessInputSchema, message);
            if (input.case !== 'stdin') continue;
            call.send(
              ProcessOutputSchema,
              create(ProcessOutputSchema, {
                output: { case: 'stdout', value: { data: input.value } },
              }),
            );
          }
          call.end();
        },
      },
    });
    let answered: () => void = () => undefined;
    async function* inputs() {
      yield { input: { case: 'start' as const, value: { command: 'cat' } } };
      for (const word of ['one', 'two']) {
        const echoed = new Promise<void>((resolve) => (answered = resolve));
        yield { input: { case: 'stdin' as const, value: Buffer.from(word) } };
        await echoed;
      }
    }
    const echoes: string[] = [];
    for await (const { output } of clients.process.open(inputs())) {
      if (output.case === 'stdout') echoes.push(Buffer.from(output.value.data).toString());
      answered();
    }
    expect(echoes).toEqual(['one', 'two']);
  });

  it('holds the guest back while nobody reads', async () => {
    let sent = 0;
    const data = Buffer.alloc(64 * 1024);
    const { clients } = await connect({
      calls: {
        'FileService/Read': async (call) => {
          for (let index = 0; index < 800; index += 1) {
            call.send(
              ReadResponseSchema,
              create(ReadResponseSchema, { part: { case: 'data', value: data } }),
            );
            sent += data.length;
            if (call.stream.writableLength > data.length) {
              await new Promise((resolve) => call.stream.once('drain', resolve));
            }
          }
          call.end();
        },
      },
    });
    let received = 0;
    for await (const { part } of clients.file.read({ path })) {
      if (received === 0) {
        await new Promise((resolve) => setTimeout(resolve, 300));
        expect(sent).toBeLessThan(6 * 1024 * 1024);
      }
      if (part.case === 'data') received += part.value.length;
    }
    expect(received).toBe(800 * data.length);
  });

  it('delivers everything to a reader that comes after the end', async () => {
    const data = Buffer.alloc(64 * 1024);
    const { clients } = await connect({
      calls: {
        'FileService/Read': (call) => {
          for (let index = 0; index < 24; index += 1) {
            call.send(
              ReadResponseSchema,
              create(ReadResponseSchema, { part: { case: 'data', value: data } }),
            );
          }
          call.end();
        },
      },
    });
    let received = 0;
    for await (const { part } of clients.file.read({ path })) {
      if (received === 0) await new Promise((resolve) => setTimeout(resolve, 200));
      if (part.case === 'data') received += part.value.length;
    }
    expect(received).toBe(24 * data.length);
  });

  it('takes the answer of a guest that does not want the rest of an upload', async () => {
    const { clients } = await connect({
      calls: {
        'FileService/Write': (call) => {
          call.stream.once('data', () => {
            call.stream.pause();
            call.end(8, 'the disk is full', 'no_space');
            setTimeout(() => call.stream.close(0), 5);
          });
        },
      },
    });
    async function* endless() {
      yield { part: { case: 'header' as const, value: { path } } };
      for (;;) {
        yield { part: { case: 'data' as const, value: Buffer.alloc(256 * 1024) } };
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    await expect(clients.file.write(endless())).rejects.toMatchObject({ code: 'no_space' });
  });

  it('takes an upload no faster than the guest does', async () => {
    let produced = 0;
    let release: () => void = () => undefined;
    const released = new Promise<void>((resolve) => (release = resolve));
    const { clients } = await connect({
      calls: {
        'FileService/Write': async (call) => {
          await released;
          let bytes = 0n;
          for await (const message of call.requests) {
            const { part } = fromBinary(WriteRequestSchema, message);
            if (part.case === 'data') bytes += BigInt(part.value.length);
          }
          call.send(WriteResponseSchema, create(WriteResponseSchema, { bytes }));
          call.end();
        },
      },
    });
    const data = Buffer.alloc(256 * 1024);
    async function* upload() {
      yield { part: { case: 'header' as const, value: { path } } };
      for (let index = 0; index < 100; index += 1) {
        produced += data.length;
        yield { part: { case: 'data' as const, value: data } };
      }
    }
    const reply = clients.file.write(upload());
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(produced).toBeLessThan(8 * 1024 * 1024);
    release();
    expect((await reply).bytes).toBe(BigInt(100 * data.length));
  });

  it('cancels the call when its source fails, and says why', async () => {
    let aborted: () => void = () => undefined;
    const guestSawIt = new Promise<void>((resolve) => (aborted = resolve));
    const { clients } = await connect({
      calls: { 'FileService/Write': (call) => void call.stream.on('aborted', aborted) },
    });
    async function* broken() {
      yield { part: { case: 'header' as const, value: { path } } };
      await Promise.resolve();
      throw new Error('source broke');
    }
    await expect(clients.file.write(broken())).rejects.toThrow(/source broke/);
    await guestSawIt;
  });

  it('ends at a signal or a deadline, and tells the guest', async () => {
    let ended = 0;
    const { clients } = await connect({
      calls: {
        'ProcessService/Exec': (call) => void call.stream.on('close', () => (ended += 1)),
      },
    });
    const abort = new AbortController();
    const cancelled = clients.process.exec({}, { signal: abort.signal });
    setTimeout(() => abort.abort(), 20);
    await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' });
    await expect(clients.process.exec({}, { timeoutMs: 20 })).rejects.toMatchObject({
      code: 'timeout',
    });
    await expect(clients.process.exec({}, { signal: abort.signal })).rejects.toMatchObject({
      code: 'cancelled',
    });
    await expect.poll(() => ended).toBe(2);
  });

  it('tells the guest when a reader loses interest', async () => {
    let closed: () => void = () => undefined;
    const guestSawIt = new Promise<void>((resolve) => (closed = resolve));
    const { clients } = await connect({
      calls: {
        'FileService/List': (call) => {
          call.send(ListFilesResponseSchema, create(ListFilesResponseSchema, {}));
          call.stream.on('close', closed);
        },
      },
    });
    const batches = clients.file.list({ path })[Symbol.asyncIterator]();
    await batches.next();
    await batches.return?.();
    await guestSawIt;
  });

  it('delivers what came before the error', async () => {
    const { clients } = await connect({
      calls: {
        'FileService/List': (call) => {
          call.send(ListFilesResponseSchema, create(ListFilesResponseSchema, {}));
          call.end(13, 'disk broke');
        },
      },
    });
    let batches = 0;
    await expect(async () => {
      for await (const { entries } of clients.file.list({ path })) batches += 1 + entries.length;
    }).rejects.toMatchObject({ code: 'guest_error', message: 'disk broke' });
    expect(batches).toBe(1);
  });

  it('does not know the outcome when the connection breaks under a call', async () => {
    const { clients, closed } = await connect({
      calls: {
        'ProcessService/Exec': () => guest?.drop(),
        'SystemService/Ping': () => guest?.drop(),
      },
    });
    await expect(clients.process.exec({})).rejects.toMatchObject({ code: 'outcome_unknown' });
    await closed;
    await expect(clients.process.exec({})).rejects.toMatchObject({ code: 'guest_unreachable' });
  });

  it('accepts no answer but one', async () => {
    const { clients } = await connect({
      calls: {
        'SystemService/Ping': (call) => {
          call.send(PingResponseSchema, create(PingResponseSchema, {}));
          call.send(PingResponseSchema, create(PingResponseSchema, {}));
          call.end();
        },
        'SystemService/GetInfo': (call) => call.end(),
      },
    });
    await expect(clients.system.ping({})).rejects.toThrow(/answered more than once/);
    await expect(clients.system.getInfo({})).rejects.toThrow(/gave no answer/);
  });
});
