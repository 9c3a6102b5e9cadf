/** `coppice mcp`: one client on standard input and output. */
import type { Readable, Writable } from 'node:stream';
import { serveStdio, StdioServerTransport } from '@modelcontextprotocol/server/stdio';
import type { McpServer, Transport } from '@modelcontextprotocol/server';
import { limits } from '../../protocol/limits.ts';
import { clientNameIn } from './clientName.ts';
import { agentOfClient } from './identity.ts';
import { openLink, type DaemonLink } from './daemonLink.ts';
import { limitLines } from './lineLimit.ts';
import { watchResources } from './resources/watch.ts';
import { buildServer } from './server.ts';
import type { Toolset } from './toolList.ts';

export interface StdioOptions {
  /** Name of the agent; what the client calls itself when absent. */
  readonly agent?: string;
  readonly toolset: Toolset;
  readonly input: Readable;
  readonly output: Writable;
  readonly log: (message: string) => void;
  /** Ends the session. */
  readonly signal: AbortSignal;
}

const longestLine = limits.rpcFrameBytes;

/** Serves until the client closes its end or `signal` is aborted. */
export async function serveStandardStreams(options: StdioOptions): Promise<void> {
  const { input, output, log, signal, toolset } = options;
  const ended = Promise.withResolvers<undefined>();
  let link: DaemonLink | undefined;
  const lines = limitLines(longestLine, (id) => {
    log(`a message of more than ${String(longestLine)} bytes was dropped`);
    const message = `A message must not be longer than ${String(longestLine)} bytes; copy large files with file_transfer or coppice cp.`;
    output.write(`${JSON.stringify({ jsonrpc: '2.0', id, error: { code: -32_600, message } })}\n`);
  });
  // A line that is just within the limit and its line break.
  const transport = new StdioServerTransport(input.pipe(lines), output, {
    maxBufferSize: longestLine + 1,
  });
  lines.once('close', () => ended.resolve(undefined));
  input.once('error', () => lines.destroy());
  function linkFor(clientName?: string): DaemonLink {
    link ??= openLink({ agent: options.agent ?? agentOfClient(clientName), log });
    return link;
  }
  let newest: McpServer | undefined;
  const handle = serveStdio(
    ({ era }) => {
      const server = buildServer({ toolset, linkFor, tellsChanges: era === 'legacy' });
      if (era === 'modern') newest = server;
      return server;
    },
    { transport, onerror: (error) => log(error.message) },
  );
  whenListening(transport, (clientName) => {
    const { server } = newest ?? {};
    if (server === undefined) return;
    // The library passes on what each subscription asked for.
    void watchResources(linkFor(clientName), {
      wants: () => true,
      updated: (uri) => void server.sendResourceUpdated({ uri }).catch(() => undefined),
      listChanged: () => void server.sendResourceListChanged().catch(() => undefined),
    });
  });
  const stop = (): void => ended.resolve(undefined);
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  await ended.promise;
  link?.close();
  await handle.close();
}

/** The library answers subscriptions of the newest revision itself; somebody must send what they are about. */
function whenListening(transport: Transport, start: (clientName?: string) => void): void {
  const deliver = transport.onmessage;
  let started = false;
  transport.onmessage = (message, extra) => {
    deliver?.(message, extra);
    if (started || !('method' in message) || message.method !== 'subscriptions/listen') return;
    started = true;
    start(clientNameIn(message.params?.['_meta']));
  };
}
