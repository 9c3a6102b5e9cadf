import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { limitLines } from '../../../helper-daemon/mcp/lineLimit.ts';

const limit = 4096;

async function through(text: string, cut: number) {
  const bytes = Buffer.from(text);
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += cut) chunks.push(bytes.subarray(at, at + cut));
  const refused: (string | number | null)[] = [];
  const passed: string[] = [];
  const lines = Readable.from(chunks).pipe(limitLines(limit, (id) => refused.push(id)));
  lines.on('data', (line: Buffer) => passed.push(line.toString()));
  await new Promise((resolve) => lines.once('end', resolve));
  return { refused, passed };
}

describe('lines of a client', () => {
  it('pass whole, one at a time, however they arrive', async () => {
    const line = fc.string({ maxLength: 200 }).map((text) => `${text.replaceAll('\n', '')}\n`);
    await fc.assert(
      fc.asyncProperty(fc.array(line), fc.integer({ min: 1, max: 500 }), async (lines, cut) => {
        const { passed, refused } = await through(lines.join(''), cut);
        expect(passed).toEqual(lines);
        expect(refused).toEqual([]);
      }),
    );
  });

  it('are dropped when they are too long, and named by their id', async () => {
    const long = 'x'.repeat(2 * limit);
    const text = [
      `{"jsonrpc":"2.0","id":7,"method":"${long}"}`,
      '{"id":1}',
      `{"method":"${long}","jsonrpc":"2.0","id":"a-b"}`,
      `{"method":"${long}"}`,
      '{"id":2}',
    ].join('\n');
    for (const cut of [1, 100, limit, 3 * limit]) {
      const { passed, refused } = await through(`${text}\n`, cut);
      expect(passed).toEqual(['{"id":1}\n', '{"id":2}\n']);
      expect(refused).toEqual([7, 'a-b', null]);
    }
  });

  it('may be exactly as long as the limit', async () => {
    const exact = `${'y'.repeat(limit - 1)}\n`;
    expect((await through(exact, 10)).passed).toEqual([exact]);
    expect((await through(`y${exact}`, 10)).passed).toEqual([]);
  });

  it('hold no more than the limit while they are too long', async () => {
    const lines = limitLines(limit, () => undefined);
    for (let turn = 0; turn < 100; turn += 1) lines.write(Buffer.alloc(limit, 'z'));
    lines.end();
    expect((await buffer(lines)).length).toBe(0);
  });
});
