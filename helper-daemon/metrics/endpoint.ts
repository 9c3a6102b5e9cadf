/** GET /metrics and /healthz on the loopback address, for Prometheus and for probes. */
import http from 'node:http';
import { CoppiceError } from '../../protocol/errors.ts';
import type { Metrics } from './metrics.ts';

export interface MetricsEndpoint {
  readonly port: number;
  close(): Promise<void>;
}

const host = '127.0.0.1';
/** A web page that made its own name mean this host sends that name. */
const ownNames = /^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/;

/** @throws CoppiceError `port_taken` */
export async function serveMetrics(metrics: Metrics, port: number): Promise<MetricsEndpoint> {
  const server = http.createServer((request, response) => {
    answer(metrics, request).then(
      ({ status, type, text }) => {
        response.writeHead(status, { 'content-type': type }).end(text);
      },
      () => response.writeHead(500).end(),
    );
  });
  server.requestTimeout = 10_000;
  server.maxConnections = 64;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(notListening(port, error)));
    server.listen(port, host, resolve);
  });
  // Not what keeps a daemon alive.
  server.unref();
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

async function answer(metrics: Metrics, request: http.IncomingMessage): Promise<Answer> {
  const plain = (status: number, text: string): Answer => ({ status, type: 'text/plain', text });
  if (!ownNames.test(request.headers.host ?? '')) return plain(421, 'Not the name of this host.\n');
  if (request.method !== 'GET') return plain(405, 'Only GET.\n');
  const path = request.url?.split('?')[0];
  if (path === '/metrics') {
    const { exposition } = await import('./exposition.ts');
    const { contentType, text } = await exposition(metrics.snapshot());
    return { status: 200, type: contentType, text };
  }
  if (path === '/healthz') {
    const health = {
      status: 'ok',
      workspaces: Object.fromEntries(metrics.snapshot().workspaces),
      uptime_seconds: Math.floor(process.uptime()),
    };
    return { status: 200, type: 'application/json', text: `${JSON.stringify(health)}\n` };
  }
  return plain(404, 'There is /metrics and /healthz.\n');
}

function notListening(port: number, error: NodeJS.ErrnoException): CoppiceError {
  return new CoppiceError(
    {
      code: error.code === 'EADDRINUSE' ? 'port_taken' : 'internal',
      message: `The metrics port ${String(port)} cannot be opened on ${host}: ${error.message}`,
      next: 'Choose another: metrics.port in the configuration, or coppice serve --metrics-port.',
    },
    { cause: error },
  );
}
