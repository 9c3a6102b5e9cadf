import { finished } from 'node:stream/promises';
import { describe, expect, it } from 'vitest';
import { limits } from '../../../protocol/limits.ts';
import { FrameGuard } from '../../../helper-daemon/server/frameGuard.ts';

function message(body: string): Buffer {
  return Buffer.from(`Content-Length: ${String(Buffer.byteLength(body))}\r\n\r\n${body}`);
}

async function passThrough(chunks: readonly Buffer[]): Promise<Buffer> {
  const guard = new FrameGuard();
  const out: Buffer[] = [];
  guard.on('data', (chunk: Buffer) => out.push(chunk));
  for (const chunk of chunks) guard.write(chunk);
  guard.end();
  await finished(guard);
  return Buffer.concat(out);
}

describe('FrameGuard', () => {
  it('passes good messages unchanged however they are cut', async () => {
    const input = Buffer.concat([message('{"a":1}'), message(''), message('{"b":"ü"}')]);
    for (let size = 1; size < input.length; size += 1) {
      const chunks: Buffer[] = [];
      for (let at = 0; at < input.length; at += size) chunks.push(input.subarray(at, at + size));
      expect(await passThrough(chunks)).toEqual(input);
    }
  });

  it.each([
    ['garbage', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['a negative length', Buffer.from('Content-Length: -5\r\n\r\n')],
    [
      'a length over the limit',
      Buffer.from(`Content-Length: ${String(limits.rpcFrameBytes + 1)}\r\n\r\n`),
    ],
    ['a header without end', Buffer.alloc(limits.rpcHeaderBytes + 1, 'x')],
  ])('refuses %s', async (_what, bytes) => {
    await expect(passThrough([bytes])).rejects.toThrow(/message/i);
  });
});
