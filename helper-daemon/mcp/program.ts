/** What the bundle of the MCP servers offers; it is apart so that other commands need not load it. */
import { chosenAgent } from './identity.ts';
import { serveHttp } from './http/serve.ts';
import { serveStandardStreams } from './stdio.ts';
import type { Toolset } from './toolList.ts';

export interface McpOptions {
  /** Name of the agent as it was given. */
  readonly session?: string;
  readonly toolset: Toolset;
  /** Absent: one client on the standard streams. */
  readonly http?: {
    readonly port: number;
    readonly tokenFile?: string;
    readonly ready: (facts: { readonly url: string; readonly token?: string }) => void;
  };
  /** Aborted to end the server. */
  readonly signal: AbortSignal;
}

export type RunMcpServer = typeof runMcpServer;

/**
 * Serves until the client is gone or `signal` is aborted.
 * @throws CoppiceError `invalid_input`, `port_taken`, `permission_denied`
 */
export async function runMcpServer({ session, http, ...options }: McpOptions): Promise<void> {
  const agent = chosenAgent(session, process.env);
  const common = { ...options, log, ...(agent === undefined ? {} : { agent }) };
  await (http === undefined
    ? serveStandardStreams({ ...common, input: process.stdin, output: process.stdout })
    : serveHttp({ ...common, ...http }));
}

/** Standard output belongs to the protocol. */
function log(message: string): void {
  process.stderr.write(`coppice mcp: ${message}\n`);
}
