/** What the endpoint answers, in both forms of the protocol: with sessions, and (the newest) without. */
import { randomUUID } from 'node:crypto';
import {
  createMcpHandler,
  isInitializeRequest,
  isLegacyRequest,
  ProtocolError,
  ProtocolErrorCode,
  WebStandardStreamableHTTPServerTransport,
} from '@modelcontextprotocol/server';
import { openLink, type DaemonLink } from '../daemonLink.ts';
import { agentOfClient, chosenAgent } from '../identity.ts';
import { buildServer } from '../server.ts';
import type { Toolset } from '../toolList.ts';
import { watchingBus } from './eventBus.ts';
import { keepSessions, type Lease, type SessionLimits } from './sessions.ts';

export interface EndpointOptions {
  /** Name of every client; what each says of itself when absent. */
  readonly agent?: string;
  readonly toolset: Toolset;
  readonly bodyLimit: number;
  readonly sessions: SessionLimits;
  readonly log: (message: string) => void;
}

export interface Endpoint {
  /** Answers a request through `send`, which resolves when the response is out. */
  answer(request: Request, send: Send): Promise<void>;
  close(): Promise<void>;
}

type Send = (response: Response) => Promise<void>;

interface Session {
  readonly transport: WebStandardStreamableHTTPServerTransport;
  readonly end: () => void;
}

/** Header for a client's name as an agent, where one configuration serves several. */
const sessionHeader = 'coppice-session';

export function createEndpoint(options: EndpointOptions): Endpoint {
  const { toolset, log } = options;
  const sessions = keepSessions<Session>(options.sessions, ({ end }) => end());
  const links = keepSessions<DaemonLink>(options.sessions, (link) => link.close());
  const bus = watchingBus(() => openLink({ agent: options.agent ?? 'mcp-http', log }));

  function agentFor(request: Request, clientName: string | undefined): string {
    const header = request.headers.get(sessionHeader) ?? undefined;
    return options.agent ?? chosenAgent(header, {}) ?? agentOfClient(clientName);
  }

  /** Connections that requests without sessions use; they share one by the name of their agent. */
  const held = new WeakMap<Request, Lease<DaemonLink>[]>();

  const stateless = createMcpHandler(
    ({ requestInfo }) =>
      buildServer({
        toolset,
        tellsChanges: false,
        linkFor: (clientName) => sharedLink(requestInfo, clientName),
      }),
    {
      legacy: 'reject',
      bus,
      maxRequestBodySize: options.bodyLimit,
      onerror: ({ message }) => log(message),
    },
  );

  function sharedLink(request: Request | undefined, clientName: string | undefined): DaemonLink {
    const leases = request === undefined ? undefined : held.get(request);
    if (request === undefined || leases === undefined) throw tooMany();
    const agent = agentFor(request, clientName);
    let lease = links.use(agent);
    if (lease === undefined) {
      const link = openLink({ agent, log });
      lease = links.add(agent, link);
      if (lease === undefined) {
        link.close();
        throw tooMany();
      }
    }
    leases.push(lease);
    return lease.value;
  }

  async function answerOnce(request: Request, send: Send): Promise<void> {
    const leases: Lease<DaemonLink>[] = [];
    held.set(request, leases);
    try {
      await send(await stateless.fetch(request));
    } finally {
      for (const { release } of leases) release();
    }
  }

  async function begin(request: Request, send: Send): Promise<void> {
    let link: DaemonLink | undefined;
    const server = buildServer({
      toolset,
      tellsChanges: true,
      linkFor(clientName) {
        link ??= openLink({ agent: agentFor(request, clientName), log });
        return link;
      },
    });
    const id = randomUUID();
    const transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: () => id,
      maxRequestBodySize: options.bodyLimit,
      onsessionclosed: () => sessions.remove(id),
    });
    const end = (): void => {
      link?.close();
      void server.close().catch((error: unknown) => log(String(error)));
    };
    const lease = sessions.add(id, { transport, end });
    if (lease === undefined) {
      await send(refused(503, tooManySessions));
      return;
    }
    try {
      await server.connect(transport);
      await send(await transport.handleRequest(request));
      if (transport.sessionId === undefined) sessions.remove(id);
    } finally {
      lease.release();
    }
  }

  async function goOn(id: string, request: Request, send: Send): Promise<void> {
    const lease = sessions.use(id);
    if (lease === undefined) {
      await send(refused(404, 'There is no such session; initialize again.'));
      return;
    }
    try {
      await send(await lease.value.transport.handleRequest(request));
    } finally {
      lease.release();
    }
  }

  return {
    async answer(request, send) {
      if (!(await isLegacyRequest(request, undefined, { maxRequestBodySize: options.bodyLimit }))) {
        await answerOnce(request, send);
        return;
      }
      const id = request.headers.get('mcp-session-id');
      if (id !== null) await goOn(id, request, send);
      else if (await isInitialize(request)) await begin(request, send);
      else {
        const what = 'Send initialize first, then its Mcp-Session-Id with each request.';
        await send(refused(400, what));
      }
    },
    async close() {
      sessions.closeAll();
      bus.close();
      await stateless.close();
      links.closeAll();
    },
  };
}

async function isInitialize(request: Request): Promise<boolean> {
  if (request.method !== 'POST') return false;
  const body: unknown = await request
    .clone()
    .json()
    .catch(() => undefined);
  return isInitializeRequest(Array.isArray(body) ? body[0] : body);
}

const tooManySessions = 'There are too many sessions; end one, or try again later.';

function tooMany(): ProtocolError {
  return new ProtocolError(ProtocolErrorCode.InvalidRequest, tooManySessions);
}

function refused(status: number, message: string): Response {
  const error = { jsonrpc: '2.0', id: null, error: { code: -32_000, message } };
  return Response.json(error, { status });
}
