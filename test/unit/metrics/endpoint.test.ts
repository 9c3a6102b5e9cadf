import http from 'node:http';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { serveMetrics, type MetricsEndpoint } from '../../../helper-daemon/metrics/endpoint.ts';
import { openMetrics } from '../../../helper-daemon/metrics/metrics.ts';

let endpoint: MetricsEndpoint;
const metrics = openMetrics(() => ({
  workspaceStates: ['running'],
  teams: 0,
  pool: { ready: 0, size: 0 },
  clients: 0,
  locks: { held: 0, waiting: 0 },
}));

beforeEach(async () => {
  endpoint = await serveMetrics(metrics, 0);
});
afterEach(() => endpoint.close());

interface Answer {
  readonly status: number | undefined;
  readonly type: string | undefined;
  readonly text: string;
}

function ask(path: string, options: http.RequestOptions = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port: endpoint.port, path, ...options });
    request.once('error', reject);
    request.once('response', (response) => {
      let text = '';
      response.on('data', (data: Buffer) => (text += data.toString()));
      response.once('end', () =>
        resolve({ status: response.statusCode, type: response.headers['content-type'], text }),
      );
    });
    request.end();
  });
}

test('/metrics is Prometheus text', async () => {
  const { status, type, text } = await ask('/metrics');
  expect([status, type]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8']);
  expect(text).toContain('coppice_workspaces{state="running"} 1\n');
});

test('/healthz tells the states and how long it has been up', async () => {
  const { status, text } = await ask('/healthz');
  expect(status).toBe(200);
  expect(JSON.parse(text)).toEqual({
    status: 'ok',
    workspaces: { running: 1, stopped: 0, suspended: 0 },
    uptime_seconds: expect.any(Number),
  });
});

test('other paths, methods and names of the host are refused', async () => {
  expect((await ask('/')).status).toBe(404);
  expect((await ask('/metrics', { method: 'POST' })).status).toBe(405);
  expect((await ask('/metrics', { headers: { host: 'evil.example' } })).status).toBe(421);
});

test('a port that is taken is told as such', async () => {
  await expect(serveMetrics(metrics, endpoint.port)).rejects.toMatchObject({ code: 'port_taken' });
});
