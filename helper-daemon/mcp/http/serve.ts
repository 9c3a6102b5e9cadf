/** `coppice mcp --http`: many clients, on the loopback interface only. */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { limits } from '../../../protocol/limits.ts';
import { CoppiceError } from '../../../protocol/errors.ts';
import type { Toolset } from '../toolList.ts';
import { createEndpoint } from './endpoint.ts';
import { endpoint as path, refusalOf } from './guards.ts';
import { newToken, tokenChecker, tokenFrom } from './token.ts';
import { sendWebResponse, toWebRequest } from './webTypes.ts';

export interface HttpOptions {
  readonly agent?: string;
  readonly toolset: Toolset;
  /** 0: any that is free. */
  readonly port: number;
  readonly tokenFile?: string;
  readonly log: (message: string) => void;
  readonly signal: AbortSignal;
  /** Told once it listens; `token` is new and stands nowhere else when it is given. */
  readonly ready: (facts: { readonly url: string; readonly token?: string }) => void;
}

const bodyLimit = limits.rpcFrameBytes;
const connections = 512;
const sessions = { most: 64, idle: 30 * 60 * 1000 } as const;

/**
 * Serves until `signal` is aborted.
 * @throws CoppiceError `port_taken`, or what is wrong with the token file
 */
export async function serveHttp(options: HttpOptions): Promise<void> {
  const { log, signal, tokenFile } = options;
  const token = tokenFile === undefined ? newToken() : await tokenFrom(tokenFile);
  const isToken = tokenChecker(token);
  const endpoint = createEndpoint({ ...options, bodyLimit, sessions });
  let port = options.port;

  async function answer(from: http.IncomingMessage, to: http.ServerResponse): Promise<void> {
    const refusal = refusalOf(from, port, isToken);
    if (refusal !== undefined) {
      refuse(to, refusal.status, refusal.message, { ...refusal.headers, Connection: 'close' });
      return;
    }
    const gone = new AbortController();
    to.once('close', () => gone.abort());
    const request = await toWebRequest(from, bodyLimit, gone.signal);
    if (request === undefined) {
      refuse(to, 413, `A request may have ${String(bodyLimit)} bytes.`);
      return;
    }
    await endpoint.answer(request, (response) => sendWebResponse(response, to));
  }

  const handle: http.RequestListener = (from, to) => {
    to.on('error', () => undefined);
    answer(from, to).catch((error: unknown) => {
      log(error instanceof Error ? error.message : String(error));
      if (to.headersSent) to.destroy();
      else refuse(to, 500, 'Internal error.');
    });
  };

  const servers: http.Server[] = [];
  try {
    // Both, so that nobody else answers to "localhost" and is sent the token.
    servers.push(await listen(handle, '127.0.0.1', port));
    port = (servers[0]?.address() as AddressInfo).port;
    const second = await listen(handle, '::1', port).catch((error: unknown) => {
      if (error instanceof CoppiceError) throw error;
      return undefined;
    });
    if (second !== undefined) servers.push(second);
    const url = `http://127.0.0.1:${String(port)}${path}`;
    options.ready(tokenFile === undefined ? { url, token } : { url });
    await new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true });
      if (signal.aborted) resolve();
    });
  } finally {
    await endpoint.close();
    for (const server of servers) {
      server.close();
      server.closeAllConnections();
    }
  }
}

async function listen(
  handle: http.RequestListener,
  host: string,
  port: number,
): Promise<http.Server> {
  const server = http.createServer(handle);
  server.maxConnections = connections;
  await new Promise<void>((resolve, reject) => {
    server.once('listening', resolve);
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(error.code === 'EADDRINUSE' || error.code === 'EACCES' ? taken(port, error) : error);
    });
    server.listen({ host, port, ipv6Only: true });
  });
  return server;
}

function taken(port: number, cause: Error): CoppiceError {
  return new CoppiceError(
    {
      code: 'port_taken',
      message: `Port ${String(port)} of the loopback interface cannot be had: ${cause.message}`,
      next: 'Give another with --port; --port 0 takes any that is free.',
    },
    { cause },
  );
}

function refuse(
  to: http.ServerResponse,
  status: number,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  const body = { jsonrpc: '2.0', id: null, error: { code: -32_000, message } };
  to.writeHead(status, { 'Content-Type': 'application/json', ...headers });
  to.end(JSON.stringify(body));
}
