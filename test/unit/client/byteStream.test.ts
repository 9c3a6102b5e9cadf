import { afterEach, describe, expect, it } from 'vitest';
import { openByteStream } from '../../../helper-daemon/client/byteStream.ts';
import { downloadedBytes, uploadBytes } from '../../../helper-daemon/client/transfer.ts';
import { encodeFrameHeader, frameType } from '../../../protocol/stream.ts';
import { startFakeDaemon, ticketNamed, type FakeDaemon, type FakeStream } from './fakeDaemon.ts';

let daemon: FakeDaemon | undefined;
afterEach(async () => {
  await daemon?.close();
});

async function opened(serve: (stream: FakeStream) => unknown): ReturnType<typeof openByteStream> {
  daemon = await startFakeDaemon({ streams: { it: serve } });
  return await openByteStream(daemon.socketPath, ticketNamed('it'));
}

async function allOf(source: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

async function* texts(...parts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield Buffer.from(part);
}

describe('a download', () => {
  it('gives the bytes and ends after the result', async () => {
    const stream = await opened(({ send }) => {
      send(frameType.data, Buffer.from('hello '));
      send(frameType.data, Buffer.from('world'));
      send(frameType.result, {});
    });
    expect(await allOf(downloadedBytes(stream))).toBe('hello world');
  });

  it('fails with what the error frame says, after the bytes before it', async () => {
    const stream = await opened(({ send }) => {
      send(frameType.data, Buffer.from('half'));
      send(frameType.error, { code: 'no_space', message: 'Full.' });
    });
    await expect(allOf(downloadedBytes(stream))).rejects.toMatchObject({
      code: 'no_space',
      message: 'Full.',
    });
  });

  it.each([
    ['stops in the middle of a frame', Buffer.from([1, 0, 0, 0, 9, 65])],
    ['stops between frames', Buffer.from([1, 0, 0, 0, 1, 65])],
  ])('is not complete when the connection %s', async (_, bytes) => {
    const stream = await opened(({ socket }) => socket.end(bytes));
    await expect(allOf(downloadedBytes(stream))).rejects.toMatchObject({ code: 'outcome_unknown' });
  });

  it.each([
    ['an unknown frame type', Buffer.from([99, 0, 0, 0, 0])],
    ['a frame over the limit', Buffer.from([1, 255, 255, 255, 255])],
  ])('refuses %s', async (_, bytes) => {
    const stream = await opened(({ socket }) => socket.write(bytes));
    await expect(allOf(downloadedBytes(stream))).rejects.toMatchObject({ code: 'invalid_input' });
  });

  it('is lost when an error frame holds no JSON', async () => {
    const stream = await opened(({ send }) => send(frameType.error, Buffer.from('{')));
    await expect(allOf(downloadedBytes(stream))).rejects.toMatchObject({ code: 'outcome_unknown' });
  });

  it('ends with an error for a ticket that nobody knows', async () => {
    daemon = await startFakeDaemon({});
    const stream = await openByteStream(daemon.socketPath, ticketNamed('other'));
    await expect(allOf(downloadedBytes(stream))).rejects.toMatchObject({ code: 'outcome_unknown' });
  });
});

describe('an upload', () => {
  it('sends everything, then the end, and returns the result', async () => {
    let received = '';
    const stream = await opened(async ({ frames, send }) => {
      for await (const frame of frames()) {
        if (frame.type === frameType.data) received += Buffer.from(frame.payload).toString();
        if (frame.type === frameType.end) send(frameType.result, { bytes: received.length });
      }
    });
    expect(await uploadBytes(stream, texts('one ', 'two'))).toEqual({ bytes: 7 });
    expect(received).toBe('one two');
  });

  it('cuts large pieces into frames that the limit allows', async () => {
    const sizes: number[] = [];
    const stream = await opened(async ({ frames, send }) => {
      for await (const frame of frames()) {
        if (frame.type === frameType.data) sizes.push(frame.payload.length);
        if (frame.type === frameType.end) send(frameType.result, { bytes: 0 });
      }
    });
    await uploadBytes(stream, texts('x'.repeat(3_000_000)));
    expect(sizes.reduce((a, b) => a + b)).toBe(3_000_000);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(1024 * 1024);
  });

  it('ends at once when the other side fails, although its source is still waiting', async () => {
    const stream = await opened(({ send }) =>
      send(frameType.error, { code: 'no_space', message: 'Full.' }),
    );
    const waiting = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.from('a');
      await new Promise(() => undefined);
    };
    await expect(uploadBytes(stream, waiting())).rejects.toMatchObject({ code: 'no_space' });
  });

  it('does not complete a file whose source failed', async () => {
    let ended = false;
    const stream = await opened(async ({ frames }) => {
      for await (const frame of frames()) ended ||= frame.type === frameType.end;
    });
    const failing = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.from('a');
      throw new Error('disk error');
    };
    await expect(uploadBytes(stream, failing())).rejects.toThrow('disk error');
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(ended).toBe(false);
  });

  it('waits for a reader that is slow instead of filling memory', async () => {
    const stream = await opened(({ socket }) => socket.pause());
    let produced = 0;
    const endless = async function* (): AsyncGenerator<Uint8Array> {
      for (;;) {
        produced += 1;
        yield Buffer.alloc(1024 * 1024);
      }
    };
    const upload = uploadBytes(stream, endless());
    upload.catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(produced).toBeLessThan(10);
    stream.destroy();
  });
});

describe('the frame header', () => {
  it('is a type and a big-endian length', () => {
    expect([...encodeFrameHeader(frameType.stderr, 0x01020304)]).toEqual([2, 1, 2, 3, 4]);
  });
});
