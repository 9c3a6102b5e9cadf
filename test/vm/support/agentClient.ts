/** A coding agent: the official MCP client on the standard streams of a real `coppice mcp`. */
import path from 'node:path';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

const launcher = path.resolve(import.meta.dirname, '../../../bin/coppice');

/** The error of a failed call, as its structured result has it. */
export interface AgentFailure {
  readonly kind: string;
  readonly jsonrpc_code: number;
  readonly code: string;
  readonly message: string;
  readonly next?: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

/** Any JSON object; say what is expected in it where that helps. */
type Facts = Record<string, unknown>;

export interface AgentReply<T = Facts> {
  /** The one text item. */
  readonly text: string;
  readonly structured: T;
  readonly isError: boolean;
}

export interface CallSettings {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: {
    readonly progress: number;
    readonly total?: number | undefined;
    readonly message?: string | undefined;
  }) => void;
  /** Milliseconds until the client gives the call up; default 10 minutes. */
  readonly timeout?: number;
}

export interface Agent {
  readonly client: Client;
  /** Calls a tool; one that fails is a reply with isError. */
  tool<T = Facts>(name: string, input?: Facts, settings?: CallSettings): Promise<AgentReply<T>>;
  /** The structured result of a call that must work. */
  ok<T = Facts>(name: string, input?: Facts, settings?: CallSettings): Promise<T>;
  /** The error of a call that must fail. */
  failure(name: string, input?: Facts): Promise<AgentFailure>;
  /** What the server wrote on standard error so far. */
  complaints(): string;
  pid(): number;
  /** Closes the server's standard input, as clients do when they end, and waits until it is gone. */
  close(): Promise<void>;
}

export interface AgentOptions {
  /** After `coppice mcp`. */
  readonly args?: readonly string[];
  /** Over the variables of the test. */
  readonly env?: Readonly<Record<string, string>>;
  /** What the client calls itself; default: the agent's name. */
  readonly clientName?: string;
  /** Speaks the newest revision of the protocol instead of the one with sessions. */
  readonly newest?: boolean;
}

/** @param name of the agent, which owns what it makes; undefined leaves it to what the client calls itself */
export async function connectAgent(
  daemon: { readonly home: string },
  name: string | undefined,
  options: AgentOptions = {},
): Promise<Agent> {
  const env: Record<string, string> = {
    ...(process.env as Record<string, string>),
    COPPICE_HOME: daemon.home,
    ...options.env,
  };
  if (options.env?.['COPPICE_SOCKET'] === undefined) delete env['COPPICE_SOCKET'];
  if (options.env?.['COPPICE_SESSION'] === undefined) delete env['COPPICE_SESSION'];
  const transport = new StdioClientTransport({
    command: launcher,
    args: ['mcp', ...(name === undefined ? [] : ['--session', name]), ...(options.args ?? [])],
    env,
    stderr: 'pipe',
  });
  let complaints = '';
  transport.stderr?.on('data', (data: Buffer) => (complaints += data.toString()));
  const client = new Client(
    { name: options.clientName ?? name ?? 'test', version: '0' },
    options.newest === true ? { versionNegotiation: { mode: 'auto' } } : {},
  );
  try {
    await client.connect(transport);
  } catch (error) {
    throw new Error(`coppice mcp does not answer; it said:\n${complaints}`, { cause: error });
  }

  async function tool<T = Facts>(
    toolName: string,
    input: Facts = {},
    settings: CallSettings = {},
  ): Promise<AgentReply<T>> {
    const result = await client.callTool(
      { name: toolName, arguments: input },
      {
        timeout: settings.timeout ?? 600_000,
        ...(settings.signal === undefined ? {} : { signal: settings.signal }),
        ...(settings.onProgress === undefined ? {} : { onprogress: settings.onProgress }),
      },
    );
    const [item, ...more] = result.content;
    if (item?.type !== 'text' || more.length > 0) {
      throw new Error(`${toolName} answered with something else than one text item`);
    }
    return {
      text: item.text,
      structured: result.structuredContent as T,
      isError: result.isError === true,
    };
  }

  return {
    client,
    tool,
    async ok<T = Facts>(toolName: string, input?: Facts, settings?: CallSettings) {
      const reply = await tool<T>(toolName, input, settings);
      if (reply.isError) throw new Error(`${toolName} failed: ${reply.text}`);
      return reply.structured;
    },
    async failure(toolName, input) {
      const reply = await tool<{ readonly error: AgentFailure }>(toolName, input);
      if (!reply.isError) throw new Error(`${toolName} should have failed: ${reply.text}`);
      return reply.structured.error;
    },
    complaints: () => complaints,
    pid: () => transport.pid ?? -1,
    close: () => client.close(),
  };
}
