/** Progress of a call for clients that asked for it; without it many give a call up after a minute. */
import type { ServerContext } from '@modelcontextprotocol/server';
import type { ProgressParams } from '../../protocol/wire.ts';

export interface CallProgress {
  report(progress: Pick<ProgressParams, 'message' | 'fraction'>): void;
  stop(): void;
}

/** Milliseconds. */
const keepAlive = 5000;
const leastInterval = 100;

/** Undefined when the request carries no token. */
export function startProgress(context: ServerContext, what: string): CallProgress | undefined {
  const token = context.mcpReq._meta?.progressToken;
  if (token === undefined) return undefined;
  const started = Date.now();
  let lastAt = 0;
  let last = 0;
  let message = `${what} is running`;
  let sending = false;

  function send(text: string, fraction?: number): void {
    // A client that does not read gets fewer of them, not a queue.
    if (sending) return;
    sending = true;
    lastAt = Date.now();
    // The protocol wants it to grow each time; a tool of several calls begins at 0 several times.
    last = Math.max(last + 0.01, (fraction ?? 0) * 100);
    context.mcpReq
      .notify({
        method: 'notifications/progress',
        params: {
          progressToken: token ?? '',
          progress: last,
          ...(fraction === undefined || last > 100 ? {} : { total: 100 }),
          message: text,
        },
      })
      .catch(() => undefined)
      .finally(() => {
        sending = false;
      });
  }

  const timer = setInterval(() => {
    if (Date.now() - lastAt < keepAlive) return;
    send(`${message} (${String(Math.round((Date.now() - started) / 1000))} s)`);
  }, keepAlive / 2);
  timer.unref();

  return {
    report(progress) {
      message = progress.message;
      if (Date.now() - lastAt >= leastInterval) send(message, progress.fraction);
    },
    stop: () => clearInterval(timer),
  };
}
