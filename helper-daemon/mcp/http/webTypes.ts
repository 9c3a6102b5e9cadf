/** node:http on one side, the web's Request and Response, which the library speaks, on the other. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { once } from 'node:events';

/** Undefined: the body is longer than `limit` bytes. */
export async function toWebRequest(
  message: IncomingMessage,
  limit: number,
  signal: AbortSignal,
): Promise<Request | undefined> {
  const { method = 'GET', url = '/', headers } = message;
  const hasBody = method !== 'GET' && method !== 'HEAD';
  const body = hasBody ? await readBody(message, limit) : undefined;
  if (hasBody && body === undefined) return undefined;
  const plain = new Headers();
  for (const [name, value] of Object.entries(headers)) {
    for (const one of Array.isArray(value) ? value : [value ?? '']) plain.append(name, one);
  }
  return new Request(new URL(url, 'http://localhost'), {
    method,
    headers: plain,
    signal,
    ...(body === undefined ? {} : { body: new Uint8Array(body) }),
  });
}

/** What is too long is read all the same, up to a point: clients look for an answer when they have sent all. */
const readAnyway = 8;

async function readBody(message: IncomingMessage, limit: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of message.iterator({ destroyOnReturn: false })) {
    length += (chunk as Buffer).length;
    if (length > limit * readAnyway) break;
    if (length > limit) chunks.length = 0;
    else chunks.push(chunk as Buffer);
  }
  return length > limit ? undefined : Buffer.concat(chunks);
}

/** Sends a response as it comes; a reader that is slow slows it down. */
export async function sendWebResponse(from: Response, to: ServerResponse): Promise<void> {
  to.writeHead(from.status, Object.fromEntries(from.headers));
  to.flushHeaders();
  if (from.body === null) {
    to.end();
    return;
  }
  const reader = (from.body as ReadableStream<Uint8Array>).getReader();
  const gone = (): void => void reader.cancel().catch(() => undefined);
  to.once('close', gone);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done || to.destroyed) break;
      if (!to.write(value) && !to.destroyed) {
        await Promise.race([once(to, 'drain'), once(to, 'close')]);
      }
    }
  } finally {
    to.off('close', gone);
    to.end();
  }
}
